"""Git over HTTP for real `git` clients, as one raw ASGI application: `web.git.app.GitApp`."""
