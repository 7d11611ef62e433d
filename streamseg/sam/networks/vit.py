"""SAM's own image encoder with less memory in less time: the same weights, the same features but for rounding.

Attention in these networks has a bias for each pair of cells: how far apart they are in rows and in columns, asked of
the query. segment-anything builds the whole table of it, and the scores, for all heads at once: gigabytes that go to
memory and back several times. Here a few rows of cells are done from start to end while they are in the processor's
caches, which on a CPU is also quicker than `scaled_dot_product_attention` a head at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_BAND_CELLS = 1 << 20
"""Of a table of scores, about as many at once: 4 MB of float32. Bands of half and of twice that took as long."""
AtOnce = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Computes what `attend_at_once` computes, from the same arguments."""

_LINEARS = ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")


class ViTEncoder(nn.Module):
    """What a `segment_anything.modeling.ImageEncoderViT` computes, with its modules.

    Args:
        network: with its weights. With `dtype` those of its blocks are converted in place.
        dtype: what the products in blocks are computed in; sums and norms stay as they are. None: that of the weights.
        at_once: attends to all there is in one call; None: on a CPU in bands, elsewhere by `attend_at_once`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None = None, at_once: AtOnce | None = None) -> None:
        super().__init__()
        self.network = network
        self._dtype, self._at_once = dtype, at_once
        if dtype is not None:
            for block in network.blocks:  # type: ignore[union-attr]
                for name in _LINEARS:
                    block.get_submodule(name).to(dtype)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, side, side) normalized -> (B, C, side / 16, side / 16) float32."""
        x = self.network.patch_embed(pixels) + self.network.pos_embed  # type: ignore[operator]
        for block in self.network.blocks:  # type: ignore[union-attr]
            x = x + self._attention(block, self._cast(block.norm1(x))).to(x.dtype)
            x = x + block.mlp(self._cast(block.norm2(x))).to(x.dtype)
        found: torch.Tensor = self.network.neck(x.permute(0, 3, 1, 2))  # type: ignore[operator]
        return found

    def _cast(self, x: torch.Tensor) -> torch.Tensor:
        return x if self._dtype is None else x.to(self._dtype)

    def _attention(self, block: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """(B, h, w, C) -> the same; in windows if the block has them."""
        attn: Any = block.attn
        size: int = block.window_size  # type: ignore[assignment]
        count, height, width, channels = x.shape
        qkv = attn.qkv(x)
        if size:
            qkv = _windows(qkv, attn.qkv.bias, size)
        rows, columns = qkv.shape[1:3]
        # (3, windows, heads, rows, columns, channels of a head)
        q, k, v = qkv.unflatten(3, (3, attn.num_heads, -1)).permute(3, 0, 4, 1, 2, 5).unbind(0)
        found = attend(q, k, v, attn.rel_pos_h, attn.rel_pos_w, self._at_once)
        found = found.permute(0, 2, 3, 1, 4).reshape(-1, rows, columns, channels)
        if size:
            found = _joined(found, (count, height, width), size)
        projected: torch.Tensor = attn.proj(found)
        return projected


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    rel_pos_h: torch.Tensor,
    rel_pos_w: torch.Tensor,
    at_once: AtOnce | None = None,
) -> torch.Tensor:
    """Attention with the decomposed bias of relative positions (MViTv2, https://arxiv.org/abs/2112.01526, equation 4).

    Args:
        q: (B, heads, h, w, c).
        k: of that shape.
        v: of that shape.
        rel_pos_h: (2h - 1, c): what a query gets for how many rows a key lies below it, from h - 1 above on.
        rel_pos_w: (2w - 1, c): the same of columns.
        at_once: see `ViTEncoder`.

    Returns:
        (B, heads, h, w, c).
    """
    # (B, heads, h, w, h) and (B, heads, h, w, w): the parts of the bias by the key's row and by its column.
    by_row = torch.einsum("bnhwc,hkc->bnhwk", q, _of_pairs(rel_pos_h, q.shape[2]).to(q.dtype))
    by_column = torch.einsum("bnhwc,wkc->bnhwk", q, _of_pairs(rel_pos_w, q.shape[3]).to(q.dtype))
    if at_once is None and q.device.type == "cpu":
        return _attend_in_bands(q * q.shape[-1] ** -0.5, k, v, by_row, by_column)
    return (at_once or attend_at_once)(q, k, v, by_row, by_column)


def attend_at_once(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor
) -> torch.Tensor:
    """One call for all, with the bias as a table of all pairs: for devices that have a kernel for that.

    Args:
        q: (B, heads, h, w, c).
        k: of that shape.
        v: of that shape.
        by_row: (B, heads, h, w, h).
        by_column: (B, heads, h, w, w).
    """
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
    found = F.scaled_dot_product_attention(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3), attn_mask=bias)
    return found.view(q.shape)


def attend_folded(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor
) -> torch.Tensor:
    """As `attend_at_once`, with no table of pairs: the bias is in longer queries, and keys that say where they are.

    So a kernel without a bias can do it, which needs no memory for pairs, but three times the products for scores.
    """
    rows, columns, channels = q.shape[2:]
    asked = torch.cat([q * channels**-0.5, by_row, by_column], -1).flatten(2, 3)
    row = torch.eye(rows, dtype=k.dtype, device=k.device).repeat_interleave(columns, 0)
    column = torch.eye(columns, dtype=k.dtype, device=k.device).repeat(rows, 1)
    where = torch.cat([row, column], 1).expand(*k.shape[:2], -1, -1)
    keys = torch.cat([k.flatten(2, 3), where], -1)
    # Kernels want values as long as keys.
    values = F.pad(v.flatten(2, 3), (0, rows + columns))
    found = F.scaled_dot_product_attention(asked, keys, values, scale=1.0)
    return found[..., :channels].reshape(q.shape)


def _attend_in_bands(
    scaled_q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, by_row: torch.Tensor, by_column: torch.Tensor
) -> torch.Tensor:
    """Several heads of a window, or some rows of one head, from the bias to the sums while they are in the caches."""
    count, heads, height, width, channels = scaled_q.shape
    cells = height * width
    found = torch.empty(scaled_q.shape, dtype=v.dtype)
    rows = max(1, min(height, _BAND_CELLS // (width * cells)))
    together = max(1, min(heads, _BAND_CELLS // cells**2))
    room = torch.empty((together, rows * width * cells), dtype=scaled_q.dtype)
    for window in range(count):
        keys = k[window].reshape(heads, cells, channels).transpose(1, 2)
        values = v[window].reshape(heads, cells, channels)
        for head in range(0, heads, together):
            of = slice(head, min(heads, head + together))
            for top in range(0, height, rows):
                band = slice(top, min(height, top + rows))
                queries = scaled_q[window, of, band].flatten(1, 2)
                number, length = queries.shape[:2]
                scores = room[:number, : length * cells].view(number, band.stop - top, width, height, width)
                torch.add(by_row[window, of, band, :, :, None], by_column[window, of, band, :, None, :], out=scores)
                scores = scores.view(number, length, cells)
                if number == 1:
                    # As a batch of one a product in bfloat16 would be copied twice.
                    scores[0].addmm_(queries[0], keys[head])
                else:
                    scores.baddbmm_(queries, keys[of])
                torch.softmax(scores, -1, out=scores)
                found[window, of, band] = (scores @ values[of]).view(number, -1, width, channels)
    return found


def _of_pairs(rel_pos: torch.Tensor, side: int) -> torch.Tensor:
    """(2 * side - 1, c) by distance -> (side, side, c) by query and key."""
    places = torch.arange(side, device=rel_pos.device)
    return rel_pos[places[:, None] - places[None, :] + side - 1]


def _windows(qkv: torch.Tensor, bias: torch.Tensor, size: int) -> torch.Tensor:
    """(B, h, w, C) in windows (B * n, size, size, C); beyond the picture is what a cell of zeros comes to: the bias."""
    count, height, width, channels = qkv.shape
    down, across = -(-height // size), -(-width // size)
    if (down * size, across * size) != (height, width):
        padded = bias.to(qkv.dtype).repeat(count, down * size, across * size, 1)
        padded[:, :height, :width] = qkv
        qkv = padded
    return qkv.view(count, down, size, across, size, channels).transpose(2, 3).reshape(-1, size, size, channels)


def _joined(windows: torch.Tensor, shape: tuple[int, int, int], size: int) -> torch.Tensor:
    """The inverse of `_windows`, for (B, h, w)."""
    count, height, width = shape
    down, across = -(-height // size), -(-width // size)
    whole = windows.view(count, down, across, size, size, -1).transpose(2, 3)
    return whole.reshape(count, down * size, across * size, -1)[:, :height, :width]
