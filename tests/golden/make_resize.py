"""Golden data of resizing: images by Pillow's bilinear filter, written to resize.safetensors beside this file and read by
tests/io/resize_test.cpp.

    python tests/golden/make_resize.py          (needs Pillow, numpy and safetensors; the test needs none of them)

`in/K` [H, W, C] and `out/K` [H', W', C], u8; `box/K` [4] f64: left, upper, right, lower of the source.
"""
import pathlib

import numpy as np
import PIL
import safetensors.numpy
from PIL import Image

rng = np.random.default_rng(5)
whole = lambda h, w: (0.0, 0.0, float(w), float(h))
jobs = [  # height, width, channels, box, out height, out width
    (37, 53, 3, None, 16, 16), (37, 53, 3, None, 64, 48), (28, 28, 1, None, 32, 32), (32, 32, 3, None, 28, 28),
    (7, 5, 1, None, 31, 40), (64, 48, 1, None, 1, 1), (1, 9, 1, None, 4, 4), (20, 30, 3, None, 20, 30),
    (24, 24, 3, (2.25, 3.5, 20.75, 19.0), 12, 10), (24, 24, 1, (5.0, 6.0, 8.5, 9.25), 17, 13)]
out = {}
for k, (h, w, c, box, oh, ow) in enumerate(jobs):
    pixels = rng.integers(0, 256, (h, w, c), dtype=np.uint8)
    pixels[: h // 3] = np.where(pixels[: h // 3] > 127, 255, 0)  # hard edges
    image = Image.fromarray(pixels if c == 3 else pixels[:, :, 0])
    box = box or whole(h, w)
    small = np.asarray(image.resize((ow, oh), Image.Resampling.BILINEAR, box=box)).reshape(oh, ow, c)
    out |= {f"in/{k}": pixels, f"out/{k}": np.ascontiguousarray(small), f"box/{k}": np.array(box)}
about = {"generator": "make_resize.py", "pillow": PIL.__version__, "numpy": np.__version__}
safetensors.numpy.save_file(out, pathlib.Path(__file__).with_name("resize.safetensors"), about)
