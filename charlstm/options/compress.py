"""What compression can be asked for."""

import dataclasses
from dataclasses import dataclass

from charlstm.errors import ConfigError
from charlstm.options.shared import OnProgress
from charlstm.schema import check_options, option


@dataclass(frozen=True)
class CompressOptions:
    """The bytes that are compressed, and how."""

    data: bytes
    _: dataclasses.KW_ONLY
    dynamic: bool = option(
        False,
        "Let the weights go on learning from what is compressed: smaller and slower; to decompress, as many cores.",
    )
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if not isinstance(self.data, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"what is compressed must be bytes, not {type(self.data).__name__}", "encode a text first"
            )
