//! FLUX and its ControlNet against diffusers, in float64, with small random weights of all kinds of tensors
//! (`tests/fixtures/make_flux.py`): networks, sampling, and the gradient of every weight that has one.

mod backbone;
mod files;
mod networks;
mod support;
