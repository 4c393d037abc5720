//! The studio: the window researchers work in, a client of the engine that knows no tensor.
