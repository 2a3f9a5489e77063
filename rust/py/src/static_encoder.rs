//! `StaticEncoder`: ids or texts in, unit vectors out.

use std::path::PathBuf;

use magnetite_core::text::{Asked, Ragged};
use magnetite_core::{Matrix, Threads, static_encoder};
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::boundary::enter_here;
use crate::errors::to_python;
use crate::text::Tokenizer;
use crate::texts::Texts;

type Vectors<'py> = Bound<'py, PyArray2<f32>>;

/// A vector for each token, a weight for each token: their weighted sum, normalised.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct StaticEncoder(static_encoder::StaticEncoder);

#[pymethods]
impl StaticEncoder {
    /// Read the `table`, `scale` and `weight` of a safetensors file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        enter_here(py, |_| static_encoder::StaticEncoder::load(&path)).map(Self)
    }

    /// Numbers in a vector.
    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    /// How many tokens have a vector.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    /// Return one unit vector a row of ids, zeros for a row without.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        ids: PyReadonlyArray1<'py, i32>,
        starts: PyReadonlyArray1<'py, i64>,
        threads: Option<usize>,
    ) -> PyResult<Vectors<'py>> {
        let ids = Ragged::new(ids.as_slice()?, starts.as_slice()?).map_err(to_python)?;
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let vectors = enter_here(py, |cancel| self.0.encode(ids, threads, cancel))?;
        array(py, vectors)
    }

    /// Write one unit vector a text to `out`; return how many tokens there were, and the rows cut.
    #[pyo3(signature = (tokenizer, texts, max_tokens, threads, out))]
    fn encode_texts<'py>(
        &self,
        py: Python<'py>,
        tokenizer: &Tokenizer,
        texts: &Bound<'py, PyList>,
        max_tokens: Option<usize>,
        threads: Option<usize>,
        out: &Vectors<'py>,
    ) -> PyResult<(usize, Bound<'py, PyArray1<i64>>)> {
        let wrong = || PyTypeError::new_err("out must be a float32 array in C order to write to");
        if !out.is_c_contiguous() {
            return Err(wrong());
        }
        let mut out = out.try_readwrite().map_err(|_| wrong())?;
        let out = out.as_slice_mut().map_err(|_| wrong())?;
        let texts = Texts::borrow(texts)?;
        let texts = &texts.refs()[..];
        let asked = Asked { max_tokens, ..Asked::default() };
        let encode = |threads, cancel: &_| {
            self.0.encode_texts((&tokenizer.0, asked), texts, out, threads, cancel)
        };
        let encoded = tokenizer.enter(py, texts, false, threads, encode)?;
        Ok((encoded.tokens, encoded.truncated.into_pyarray(py)))
    }
}

fn array(py: Python<'_>, rows: Matrix) -> PyResult<Vectors<'_>> {
    let shape = [rows.view().rows(), rows.view().dim()];
    rows.into_data().into_pyarray(py).reshape(shape)
}
