//! Safetensors files as dicts of arrays, for those who have no torch.

use std::path::{Path, PathBuf};

use magnetite_core::Error;
use magnetite_core::tensors::{Numbers, Tensor, Tensors};
use numpy::{Element, IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::boundary::enter_here;
use crate::errors::to_python;

/// Return the tensors of a safetensors file by name.
#[pyfunction]
pub(crate) fn read_tensors(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let file = enter_here(py, |_| Tensors::load(&path))?;
    let arrays = PyDict::new(py);
    for (name, tensor) in file.tensors {
        let array = array(py, &path, &name, tensor)?;
        arrays.set_item(name, array)?;
    }
    Ok(arrays)
}

/// Return the notes that a safetensors file carries.
#[pyfunction]
pub(crate) fn read_metadata(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let file = enter_here(py, |_| Tensors::load(&path))?;
    let notes = PyDict::new(py);
    for (name, note) in file.metadata {
        notes.set_item(name, note)?;
    }
    Ok(notes)
}

fn array<'py>(
    py: Python<'py>,
    path: &Path,
    name: &str,
    tensor: Tensor,
) -> PyResult<Bound<'py, PyAny>> {
    let Tensor { shape, numbers } = tensor;
    let array = match numbers {
        Numbers::F32(numbers) => shaped(py, numbers, &shape),
        Numbers::F64(numbers) => shaped(py, numbers, &shape),
        Numbers::I8(numbers) => shaped(py, numbers, &shape),
        Numbers::I16(numbers) => shaped(py, numbers, &shape),
        Numbers::I32(numbers) => shaped(py, numbers, &shape),
        Numbers::I64(numbers) => shaped(py, numbers, &shape),
        Numbers::U8(numbers) => shaped(py, numbers, &shape),
        Numbers::U16(numbers) => shaped(py, numbers, &shape),
        Numbers::U32(numbers) => shaped(py, numbers, &shape),
        Numbers::U64(numbers) => shaped(py, numbers, &shape),
    };
    // NumPy has fewer axes than a file may state, and an empty array of too many columns.
    let refuse = |e: PyErr| {
        to_python(Error::format(path, format!("tensor {name:?} of shape {shape:?}: {e}")))
    };
    array.map_err(refuse)
}

fn shaped<'py, T: Element>(
    py: Python<'py>,
    numbers: Vec<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    Ok(numbers.into_pyarray(py).reshape(shape)?.into_any())
}
