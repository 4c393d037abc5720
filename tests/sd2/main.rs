//! Stable Diffusion 2 and its ControlNet against diffusers, in float64, with small random weights of all tensors
//! (`tests/fixtures/make_sd2.py`): networks, files in every form, sampling, and the gradient of every weight.

mod backbone;
mod files;
mod networks;
mod support;
