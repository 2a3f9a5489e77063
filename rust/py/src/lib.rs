//! `magnetite._core`: the engine as Python sees it. Borrow, enter, wrap; nothing else happens here.
#![forbid(unsafe_code)]

mod boundary;
mod called;
mod cur;
mod dense;
mod errors;
mod static_encoder;
mod tensors;
mod text;
mod texts;
mod writing;

use pyo3::prelude::*;

/// Compiled engine of magnetite.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::boundary::resolve_threads;
    #[pymodule_export]
    use crate::cur::{CurSearch, CurSolver};
    #[pymodule_export]
    use crate::dense::Index;
    #[pymodule_export]
    use crate::errors::FormatError;
    #[pymodule_export]
    use crate::static_encoder::StaticEncoder;
    #[pymodule_export]
    use crate::tensors::{read_metadata, read_tensors};
    #[pymodule_export]
    use crate::text::{Tokenizer, Tokens, pack};
}
