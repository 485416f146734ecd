//! Go's gob format for serde: values and whole streams, both ways, without I/O.

pub mod names;
