//! Texts in every form that Python holds them in, given to the engine window by window.

use magnetite_core::text::{BLOCK, WINDOW, columns};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString, PyTuple};

use crate::errors::to_python;

/// Bytes of text that are taken from an iterator at a time, if they are fewer than [`WINDOW`] texts.
const WINDOW_BYTES: usize = 1 << 23;

/// What a call was given; `magnetite.text.sources` makes one of these forms of everything.
pub(crate) enum Source<'py> {
    /// str of the caller's.
    List(Bound<'py, PyList>),
    /// str that are made as they are asked for.
    Iterator(Bound<'py, PyIterator>),
    /// A row of code points a text, zeros behind it.
    Points(PyReadonlyArray2<'py, u32>),
    /// The parts of an Arrow column.
    Columns(Vec<Column<'py>>),
}

/// Offsets into bytes, which lie where another library put them.
pub(crate) struct Column<'py>(Offsets<'py>, PyReadonlyArray1<'py, u8>);

enum Offsets<'py> {
    Small(PyReadonlyArray1<'py, i32>),
    Large(PyReadonlyArray1<'py, i64>),
}

impl<'py> Source<'py> {
    /// Takes one of the forms.
    pub(crate) fn of(texts: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(list) = texts.cast::<PyList>() {
            Ok(Self::List(list.clone()))
        } else if let Ok(points) = texts.cast::<PyArray2<u32>>() {
            Ok(Self::Points(points.try_readonly()?))
        } else if let Ok(columns) = texts.cast::<PyTuple>() {
            columns
                .iter()
                .map(|column| Column::of(&column))
                .collect::<PyResult<_>>()
                .map(Self::Columns)
        } else if let Ok(iterator) = texts.cast::<PyIterator>() {
            Ok(Self::Iterator(iterator.clone()))
        } else {
            let kind = texts.get_type();
            Err(PyTypeError::new_err(format!(
                "texts must be a list of str or a column; got {kind}"
            )))
        }
    }

    /// Gives all texts in windows: an iterator's and code points' by the [`WINDOW`], others at once.
    pub(crate) fn windows(
        self,
        py: Python<'py>,
        mut each: impl FnMut(&[&str]) -> PyResult<()>,
    ) -> PyResult<()> {
        match self {
            Self::List(list) => each(&Texts::borrow(&list)?.refs()),
            Self::Columns(columns) => {
                let mut texts = Vec::new();
                columns.iter().try_for_each(|column| column.append(py, &mut texts))?;
                each(&texts)
            }
            Self::Points(points) => {
                let width = points.as_array().ncols();
                for window in points.as_slice()?.chunks(WINDOW * width) {
                    py.check_signals()?;
                    let texts = py.detach(|| columns::utf32(window, width));
                    each(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
                }
                Ok(())
            }
            Self::Iterator(mut iterator) => {
                let mut first = 0;
                while let Some(texts) = Texts::next(&mut iterator, first)? {
                    first += texts.0.len();
                    each(&texts.refs())?;
                }
                Ok(())
            }
        }
    }
}

impl<'py> Column<'py> {
    fn of(parts: &Bound<'py, PyAny>) -> PyResult<Self> {
        let (offsets, data): (Bound<'py, PyAny>, PyReadonlyArray1<'py, u8>) = parts.extract()?;
        let offsets = match offsets.cast::<PyArray1<i32>>() {
            Ok(small) => Offsets::Small(small.try_readonly()?),
            Err(_) => Offsets::Large(offsets.extract()?),
        };
        Ok(Self(offsets, data))
    }

    fn append<'a>(&'a self, py: Python<'_>, texts: &mut Vec<&'a str>) -> PyResult<()> {
        let (row, data) = (texts.len(), self.1.as_slice()?);
        let done = match &self.0 {
            Offsets::Small(offsets) => {
                let offsets = offsets.as_slice()?;
                py.detach(|| columns::utf8(offsets, data, row, texts))
            }
            Offsets::Large(offsets) => {
                let offsets = offsets.as_slice()?;
                py.detach(|| columns::utf8(offsets, data, row, texts))
            }
        };
        done.map_err(to_python)
    }
}

/// Borrowed texts. A lone surrogate, which is no character, stands as U+FFFD.
pub(crate) struct Texts(Vec<Text>);

/// One text: borrowed where Python's str is valid Unicode, as almost all are.
enum Text {
    Borrowed(PyBackedStr),
    Repaired(String),
}

impl Texts {
    /// Borrows a list of str; names the first item that is none.
    pub(crate) fn borrow(list: &Bound<'_, PyList>) -> PyResult<Self> {
        list.iter()
            .enumerate()
            .map(|(i, item)| Text::borrow(item, i))
            .collect::<PyResult<_>>()
            .map(Self)
    }

    /// The next window of an iterator, whose first item has the number `first`; `None` at its end.
    fn next(iterator: &mut Bound<'_, PyIterator>, first: usize) -> PyResult<Option<Self>> {
        let (mut texts, mut bytes) = (Vec::new(), 0);
        // Whole blocks, so that rows of several windows can be found by their block.
        while texts.len() < WINDOW && (bytes < WINDOW_BYTES || !texts.len().is_multiple_of(BLOCK)) {
            let Some(item) = iterator.next() else { break };
            let text = Text::borrow(item?, first + texts.len())?;
            bytes += text.as_ref().len();
            texts.push(text);
        }
        Ok(if texts.is_empty() { None } else { Some(Self(texts)) })
    }

    /// The texts, in place.
    pub(crate) fn refs(&self) -> Vec<&str> {
        self.0.iter().map(Text::as_ref).collect()
    }
}

impl Text {
    fn borrow(item: Bound<'_, PyAny>, number: usize) -> PyResult<Self> {
        let text = item.cast_into::<PyString>().map_err(|error| {
            PyTypeError::new_err(format!(
                "every one of texts must be a str; item {number} is {}; turn it into text or leave it out",
                error.into_inner().get_type()
            ))
        })?;
        if let Ok(valid) = PyBackedStr::try_from(text.clone()) {
            return Ok(Self::Borrowed(valid));
        }
        let bytes = text.call_method1("encode", ("utf-32-le", "surrogatepass"))?;
        let points = bytes.cast::<PyBytes>()?.as_bytes().as_chunks::<4>().0;
        let whole = |&point| char::from_u32(u32::from_le_bytes(point));
        Ok(Self::Repaired(points.iter().map(|p| whole(p).unwrap_or('\u{FFFD}')).collect()))
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Repaired(text) => text,
        }
    }
}
