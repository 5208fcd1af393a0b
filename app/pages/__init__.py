"""The pages of the dashboard, one module each, in the order of their tabs (docs/architecture.md: how to add one)."""

from __future__ import annotations

from app.pages.ascent import Ascent
from app.pages.atlas import AtlasPage
from app.pages.dreams import DreamsPage
from app.pages.generators import GeneratorsPage
from app.pages.image import ImagePage
from app.pages.library import LibraryPage
from app.pages.networks import NetworksPage
from app.pages.page import Page
from app.pages.patches import PatchesPage
from app.pages.training import TrainingPage
from app.pages.weights import WeightsPage

PAGES: dict[str, type[Page]] = {
    page.name: page
    for page in (
        Ascent,
        ImagePage,
        PatchesPage,
        WeightsPage,
        DreamsPage,
        GeneratorsPage,
        NetworksPage,
        TrainingPage,
        AtlasPage,
        LibraryPage,
    )
}
