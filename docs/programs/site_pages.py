"""Pages of the documentation site that are made of other files of the repository: a hook of MkDocs.

`README.md`, the app's README, the model cards, `CONTRIBUTING.md` and `CHANGELOG.md` are read where they lie, so nothing
is written twice. Their links are turned: to a page of the site where there is one, to a picture, or to no link where
the target is a source file, which the site does not hold.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = {
    "README.md": "index.md",
    "apps/medvlsam2/README.md": "server.md",
    "model/medvlsam2-nano/README.md": "model.md",
    "model/medvlsam2-small/README.md": "model-small.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository, and the pages that they become."""
SETTINGS: Final = "settings.md"
_CODE_OR_LINK: Final = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)"
    r"|(?P<mark>!?)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)
"""One expression for both: what looks like a link within code is none, and a link's label may be code."""


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=with_links_of_the_site(text, source)))
    files.append(File.generated(config, SETTINGS, content=settings_page()))
    return files


def on_page_markdown(markdown: str, /, *, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the pages in `docs/`; those of generated pages are turned already."""
    del config, files
    if page.file.generated_by is not None:
        return markdown
    return with_links_of_the_site(markdown, f"docs/{page.file.src_uri}")


def settings_page() -> str:
    """The table of the server's settings, made from their record."""
    from medvlsam2.settings.table import markdown

    return (
        "---\nhide: [toc]\n---\n\n# Settings of the server\n\n"
        "Each setting can be given as an option of `medvlsam2 serve`, with `--conf`, or as an environment variable. "
        "An option overrules `--conf`, `--conf` the environment, and the environment the default. "
        f"`medvlsam2 serve --help` lists the same.\n\n{markdown()}"
    )


def with_links_of_the_site(text: str, source: str) -> str:
    """A document whose relative links lead to pages and pictures of the site.

    Args:
        text: in Markdown.
        source: the document's own path in the repository.
    """
    folder = PurePosixPath(source).parent
    return _CODE_OR_LINK.sub(lambda found: found[0] if found["code"] else _turned(found, folder), text)


def _turned(found: re.Match[str], folder: PurePosixPath) -> str:
    mark, label, target = found.group("mark", "label", "target")
    if target.startswith(("#", "https://", "http://", "mailto:")):
        return found[0]
    path, _, anchor = target.partition("#")
    place = os.path.normpath(folder / path)
    page = PAGES.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else "")
    if not page:
        return f"{mark}[{label}]({target})" if mark else label
    return f"{mark}[{label}]({page}{'#' + anchor if anchor else ''})"
