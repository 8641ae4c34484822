"""An .xz container that does not compress.

BentoML reads only xz here, and the output of `lzma.compress` changes with the version of liblzma. Weights hardly
compress in any case. Sources: The .xz File Format 1.2.1 (https://tukaani.org/xz/xz-file-format.txt), and LZMA2's
chunks of uncompressed data as in liblzma's lzma2_decoder.c.
"""

import struct
import zlib

STREAM_MAGIC = b"\xfd7zXZ\x00"
FOOTER_MAGIC = b"YZ"
CHECK_CRC32 = b"\x00\x01"  # stream flags
BLOCK_HEADER = b"\x02\x00\x21\x01\x00"  # (2 + 1) * 4 bytes; one filter: LZMA2 (0x21), one property: 4 KiB dictionary
INDEX_ONE_RECORD = b"\x00\x01"  # index indicator, number of records
CHUNK_RESETS_DICTIONARY, CHUNK_CONTINUES, END_OF_CHUNKS = b"\x01", b"\x02", b"\x00"
MAX_CHUNK = 65_536  # bytes


def store_as_xz(data: bytes) -> bytes:
    """Return the data as an .xz file with one block of uncompressed chunks."""
    header = _pad_with_crc32(BLOCK_HEADER)
    chunks = [data[i : i + MAX_CHUNK] for i in range(0, len(data), MAX_CHUNK)]
    body = b"".join(
        (CHUNK_CONTINUES if i else CHUNK_RESETS_DICTIONARY) + struct.pack(">H", len(chunk) - 1) + chunk
        for i, chunk in enumerate(chunks)
    )
    body += END_OF_CHUNKS
    unpadded_size = len(header) + len(body) + 4  # 4 is the size of the block's CRC-32
    index = _pad_with_crc32(INDEX_ONE_RECORD + _encode_integer(unpadded_size) + _encode_integer(len(data)))
    footer = struct.pack("<I", len(index) // 4 - 1) + CHECK_CRC32
    return b"".join(
        (
            STREAM_MAGIC,
            CHECK_CRC32,
            _crc32(CHECK_CRC32),
            header,
            body,
            bytes(-len(body) % 4),
            _crc32(data),
            index,
            _crc32(footer),
            footer,
            FOOTER_MAGIC,
        )
    )


def _crc32(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def _pad_with_crc32(data: bytes) -> bytes:
    data += bytes(-len(data) % 4)
    return data + _crc32(data)


def _encode_integer(value: int) -> bytes:
    """Encode a multibyte integer: 7 bits per byte, the lowest first; the high bit marks that more bytes follow."""
    if value < 0x80:
        return bytes([value])
    return bytes([value & 0x7F | 0x80]) + _encode_integer(value >> 7)
