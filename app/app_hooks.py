"""Process start and stop; Bokeh runs this file twice, so it keeps nothing."""

from bokeh.application.application import ServerContext

from app.hub import get_hub
from app.routes import install

install()  # a plain `bokeh serve app` gets our addresses too


def on_server_loaded(server_context: ServerContext) -> None:
    """Start the engine before the first visit."""
    get_hub().start()


def on_server_unloaded(server_context: ServerContext) -> None:
    """Stop the engine; the runs stay in the library."""
    get_hub().close()
