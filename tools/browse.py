"""Serve the results of a study on this machine: make browse [PARAMS=...] [PORT=...]."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from study import cli
from study.files import need
from study.loading import load_params


def main() -> None:
    options = cli.tool_parser(__doc__)
    options.add_argument("--port", type=int, default=8000, help="of this machine (default: 8000)")
    options.add_argument("--where", action="store_true", help="say where they are, no more")
    args = options.parse_args()
    paths = load_params(args.params).layout
    need(paths.site, "site")
    if args.where:
        print(f"results: {paths.site}")
        return
    handler = partial(SimpleHTTPRequestHandler, directory=str(paths.results))
    with ThreadingHTTPServer(("127.0.0.1", args.port), handler) as server:
        print(f"{paths.site} on http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
