"""One visit: Bokeh runs this file for each page; everything else is in modules that all pages share."""

from bokeh.io import curdoc

from app.hub import get_hub
from app.session import open_page

open_page(curdoc(), get_hub())
