"""Where a pyramid's training starts: in closed form, and then on the picture at half its size."""

from inrcodec.families.pyramid.fit.start.closed_form import start
from inrcodec.families.pyramid.fit.start.half_size import Advance, warm_up, warm_up_steps

__all__ = ["Advance", "start", "warm_up", "warm_up_steps"]
