//! `Tokenizer`, `Tokens`, `pack`: lists of str in, arrays out.

use std::path::{Path, PathBuf};

use magnetite_core::text::{self, Asked, BLOCK, Padding, Ragged, Strategy, Windows, batch};
use magnetite_core::{Cancel, Result, Threads};
use numpy::ndarray::Dimension;
use numpy::{Element, IntoPyArray, PyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use crate::boundary::enter_here;
use crate::errors::to_python;
use crate::texts::{Source, Texts};

/// Bytes of text that take less time than counting CPUs (some ten microseconds): on a fast path...
const FAST: usize = 1 << 12;
/// ... and else.
const SLOW: usize = 1 << 8;

/// Cells of a rectangle that are written sooner than another thread wakes up or CPUs are counted.
const FEW_CELLS: usize = 1 << 13;

/// Array of ids and array of mask.
type Padded<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<i64>>);

/// Documents, spans and tokens of windows; the lengths of prefixes.
type Windowed<'py> = (Column<'py>, Bound<'py, PyArray2<i64>>, Column<'py>, Column<'py>);
type Column<'py> = Bound<'py, PyArray1<i64>>;

/// A tokenizer as its `tokenizer.json` defines it.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct Tokenizer(pub(crate) text::Tokenizer);

#[pymethods]
impl Tokenizer {
    /// Read a `tokenizer.json`.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        enter_here(py, |_| text::Tokenizer::load(&path)).map(Self)
    }

    /// Take the text of a `tokenizer.json`.
    #[staticmethod]
    fn from_json(py: Python<'_>, json: String) -> PyResult<Self> {
        let origin = Path::new("tokenizer.json in memory");
        enter_here(py, |_| text::Tokenizer::from_json(json, origin)).map(Self)
    }

    /// Return the text of the `tokenizer.json` that this tokenizer was made from.
    fn to_json(&self) -> &str {
        self.0.json()
    }

    /// What turns text into ids: the family of the fast path, or "tokenizers" for Hugging Face's.
    #[getter]
    fn engine(&self) -> &'static str {
        self.0.engine()
    }

    /// One more than the largest id.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    /// Return the id of a token, or None.
    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    /// Return the token of an id, or None.
    fn id_to_token(&self, token_id: u32) -> Option<String> {
        self.0.id_to_token(token_id)
    }

    /// Return the text of some ids.
    #[pyo3(signature = (ids, skip_special_tokens))]
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        enter_here(py, |_| self.0.decode(&ids, skip_special_tokens))
    }

    /// Return the ids of every text, in order.
    #[pyo3(signature = (texts, max_tokens, special_tokens, offsets, threads))]
    fn encode_batch(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        max_tokens: Option<usize>,
        special_tokens: bool,
        offsets: bool,
        threads: Option<usize>,
    ) -> PyResult<Tokens> {
        let asked = Asked { max_tokens, special_tokens, offsets };
        let mut tokens = text::Tokens::empty(offsets);
        Source::of(texts)?.windows(py, |texts| {
            let encode = |threads, cancel: &_| self.0.encode_batch(texts, asked, threads, cancel);
            tokens.extend(self.enter(py, texts, offsets, threads, encode)?);
            Ok(())
        })?;
        Tokens::new(py, tokens, self.0.padding(asked))
    }

    /// Return the ids of every pair of texts, one row a pair; one first text counts for all.
    #[pyo3(signature = (first, second, max_tokens, strategy, special_tokens, offsets, threads))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn encode_pairs(
        &self,
        py: Python<'_>,
        first: &Bound<'_, PyAny>,
        second: &Bound<'_, PyAny>,
        max_tokens: Option<usize>,
        strategy: Option<&str>,
        special_tokens: bool,
        offsets: bool,
        threads: Option<usize>,
    ) -> PyResult<Tokens> {
        let strategy = strategy.map(strategy_of).transpose()?;
        let asked = Asked { max_tokens, special_tokens, offsets };
        let mut tokens = text::Tokens::of_pairs(offsets);
        Source::of(first)?.windows(py, |first| {
            Source::of(second)?.windows(py, |second| {
                let first = if first.len() == 1 { &vec![first[0]; second.len()] } else { first };
                let encode = |threads, cancel: &_| {
                    self.0.encode_pairs(first, second, asked, strategy, threads, cancel)
                };
                tokens = self.enter(py, second, offsets, threads, encode)?;
                Ok(())
            })
        })?;
        Tokens::new(py, tokens, self.0.padding(asked))
    }

    /// Return windows of texts: documents, spans, tokens, and the length of each document's prefix.
    #[pyo3(signature = (texts, prefixes, max_tokens, overlap, threads))]
    fn chunk<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        prefixes: &Bound<'py, PyList>,
        max_tokens: usize,
        overlap: usize,
        threads: Option<usize>,
    ) -> PyResult<Windowed<'py>> {
        let (texts, prefixes) = (Texts::borrow(texts)?, Texts::borrow(prefixes)?);
        let (texts, prefixes) = (texts.refs(), prefixes.refs());
        let windows = Windows { max_tokens, overlap };
        let chunks = self.enter(py, &texts, false, threads, |threads, cancel| {
            self.0.chunk(&texts, &prefixes, windows, threads, cancel)
        })?;
        let rows = chunks.documents.len();
        Ok((
            chunks.documents.into_pyarray(py),
            chunks.spans.into_pyarray(py).reshape([rows, 2])?,
            chunks.tokens.into_pyarray(py),
            chunks.prefixes.into_pyarray(py),
        ))
    }

    /// Return the ids of every text as one rectangle and one of ones and zeros, new or in `out`.
    #[pyo3(signature = (texts, max_tokens, special_tokens, threads, out))]
    fn encode_padded<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        max_tokens: Option<usize>,
        special_tokens: bool,
        threads: Option<usize>,
        out: Option<Padded<'py>>,
    ) -> PyResult<Padded<'py>> {
        let asked = Asked { max_tokens, special_tokens, offsets: false };
        let mut rows = self.0.no_rows(asked);
        Source::of(texts)?.windows(py, |texts| {
            let encode = |threads, cancel: &_| self.0.encode_rows(texts, asked, threads, cancel);
            rows.extend(self.enter(py, texts, false, threads, encode)?);
            Ok(())
        })?;
        let (ids, mask) = match out {
            Some(arrays) => arrays,
            None => {
                let shape = (rows.count(), rows.width());
                (empty(py, shape)?, empty(py, shape)?)
            }
        };
        write(py, &rows, threads, &ids, &mask)?;
        Ok((ids, mask))
    }
}

impl Tokenizer {
    /// Runs `work` on `texts` through the door, by as many threads as they are worth.
    pub(crate) fn enter<T, F>(
        &self,
        py: Python<'_>,
        texts: &[&str],
        offsets: bool,
        threads: Option<usize>,
        work: F,
    ) -> PyResult<T>
    where
        T: Send,
        F: FnOnce(Threads, &Cancel) -> Result<T> + Send,
    {
        let slow = offsets || self.0.engine() == "tokenizers";
        let few = if slow { SLOW } else { FAST };
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let little = bytes < few || texts.len() <= BLOCK;
        let threads = Threads::resolve_unless(little, threads).map_err(to_python)?;
        enter_here(py, |cancel| work(threads, cancel))
    }
}

fn strategy_of(name: &str) -> PyResult<Strategy> {
    match name {
        "longest_first" => Ok(Strategy::LongestFirst),
        "only_first" => Ok(Strategy::OnlyFirst),
        "only_second" => Ok(Strategy::OnlySecond),
        other => Err(PyValueError::new_err(format!(
            "strategy must be longest_first, only_first or only_second; got '{other}'"
        ))),
    }
}

/// An array whose cells will all be written: zeros take as long as those.
fn empty(py: Python<'_>, shape: (usize, usize)) -> PyResult<Bound<'_, PyArray2<i64>>> {
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = EMPTY.import(py, "numpy", "empty")?;
    Ok(make.call1((shape, numpy::dtype::<i64>(py)))?.cast_into()?)
}

/// Writes rows into arrays of a shape that fits them.
fn write(
    py: Python<'_>,
    rows: &text::Rows,
    threads: Option<usize>,
    ids: &Bound<'_, PyArray2<i64>>,
    mask: &Bound<'_, PyArray2<i64>>,
) -> PyResult<()> {
    let refuse = || PyValueError::new_err("out must be two arrays that can be written to, not one");
    let (mut ids, mut mask) =
        (ids.try_readwrite().map_err(|_| refuse())?, mask.try_readwrite().map_err(|_| refuse())?);
    let (shape, like) = (ids.as_array().dim(), mask.as_array().dim());
    if shape != like || shape.0 != rows.count() {
        let want = format!("out must be two arrays of {} rows and one width", rows.count());
        return Err(PyValueError::new_err(format!("{want}; got {shape:?} and {like:?}")));
    }
    let order = |_| PyTypeError::new_err("out must be two int64 arrays in C order");
    let (ids, mask) = (ids.as_slice_mut().map_err(order)?, mask.as_slice_mut().map_err(order)?);
    let threads = Threads::resolve_but_for(ids.len() < FEW_CELLS, threads).map_err(to_python)?;
    enter_here(py, |cancel| rows.write(ids, mask, shape.1, threads, cancel))
}

/// The ids of some texts, one row a text; its arrays cannot be written to.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct Tokens {
    /// Every row's ids, row after row.
    #[pyo3(get)]
    ids: Py<PyArray1<i32>>,
    /// Where each row begins, and where the last ends.
    #[pyo3(get)]
    starts: Py<PyArray1<i64>>,
    /// The rows that were cut.
    #[pyo3(get)]
    truncated: Py<PyArray1<i64>>,
    /// First character and the one after the last of each id, if asked for.
    #[pyo3(get)]
    offsets: Option<Py<PyArray2<i64>>>,
    /// The type of each id, of rows of pairs.
    #[pyo3(get)]
    type_ids: Option<Py<PyArray1<i32>>>,
    padding: Padding,
}

#[pymethods]
impl Tokens {
    /// How many rows.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.read(py, |ragged| Ok(ragged.rows()))
    }

    /// Return all rows as one rectangle of ids and one of ones and zeros.
    fn padded<'py>(&self, py: Python<'py>) -> PyResult<Padded<'py>> {
        let (rows, width, cells) = self.read(py, |ragged| {
            let (rows, width) = (ragged.rows(), self.padding.wide(ragged.longest()));
            Ok((rows, width, self.padding.fill(ragged, 0..rows, width)?))
        })?;
        shaped(py, rows, width, cells)
    }

    /// Return the types of all ids as a rectangle of the shape of `padded`.
    fn padded_type_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let (rows, width, cells) = self.read_types(py, |ragged| {
            let (rows, width) = (ragged.rows(), self.padding.wide(ragged.longest()));
            Ok((rows, width, self.padding.of_types().fill(ragged, 0..rows, width)?))
        })?;
        Ok(shaped(py, rows, width, cells)?.0)
    }

    /// Return some rows as rectangles of a given width.
    fn fill<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        width: usize,
    ) -> PyResult<Padded<'py>> {
        let rows = rows.as_slice()?;
        let cells = self.read(py, |ragged| self.padding.fill(ragged, picks(rows), width))?;
        shaped(py, rows.len(), width, cells)
    }

    /// Return the types of the ids of some rows as a rectangle of the shape of `fill`.
    fn fill_type_ids<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        width: usize,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let rows = rows.as_slice()?;
        let padding = self.padding.of_types();
        let cells = self.read_types(py, |ragged| padding.fill(ragged, picks(rows), width))?;
        Ok(shaped(py, rows.len(), width, cells)?.0)
    }
}

/// Row numbers; a negative one becomes one that is surely not there.
fn picks(rows: &[i64]) -> impl ExactSizeIterator<Item = usize> {
    rows.iter().map(|&row| usize::try_from(row).unwrap_or(usize::MAX))
}

impl Tokens {
    fn new(py: Python<'_>, tokens: text::Tokens, padding: Padding) -> PyResult<Self> {
        let pairs = |flat: Vec<i64>| {
            let rows = flat.len() / 2;
            flat.into_pyarray(py).reshape([rows, 2])
        };
        let offsets = tokens.offsets.map(pairs).transpose()?;
        Ok(Self {
            ids: sealed(tokens.ids.into_pyarray(py)),
            starts: sealed(tokens.starts.into_pyarray(py)),
            truncated: sealed(tokens.truncated.into_pyarray(py)),
            offsets: offsets.map(sealed),
            type_ids: tokens.type_ids.map(|types| sealed(types.into_pyarray(py))),
            padding,
        })
    }

    /// Runs `work` on the rows.
    pub(crate) fn read<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Ragged<'_>) -> Result<T>,
    ) -> PyResult<T> {
        self.rows(py, &self.ids, work)
    }

    /// Runs `work` on the types of the rows.
    fn read_types<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Ragged<'_>) -> Result<T>,
    ) -> PyResult<T> {
        let none = || PyValueError::new_err("only rows of encode_pairs have types");
        self.rows(py, self.type_ids.as_ref().ok_or_else(none)?, work)
    }

    /// Starts are checked again, since Python can make an array writable.
    fn rows<T>(
        &self,
        py: Python<'_>,
        numbers: &Py<PyArray1<i32>>,
        work: impl FnOnce(Ragged<'_>) -> Result<T>,
    ) -> PyResult<T> {
        let (numbers, starts) = (numbers.bind(py).readonly(), self.starts.bind(py).readonly());
        let ragged = Ragged::new(numbers.as_slice()?, starts.as_slice()?);
        ragged.and_then(work).map_err(to_python)
    }
}

/// Batches of rows of like length.
#[pyfunction]
pub(crate) fn pack<'py>(
    py: Python<'py>,
    lengths: PyReadonlyArray1<'py, i64>,
    batch_tokens: usize,
    max_tokens: usize,
) -> PyResult<Vec<(Bound<'py, PyArray1<i64>>, usize)>> {
    let lengths = lengths.as_slice()?;
    let batches = enter_here(py, |_| batch::pack(lengths, batch_tokens, max_tokens))?;
    Ok(batches.into_iter().map(|b| (b.rows.into_pyarray(py), b.width)).collect())
}

/// The array, closed to writing.
fn sealed<T: Element, D: Dimension>(array: Bound<'_, PyArray<T, D>>) -> Py<PyArray<T, D>> {
    array.readwrite().make_nonwriteable();
    array.unbind()
}

fn shaped<'py>(
    py: Python<'py>,
    rows: usize,
    width: usize,
    (ids, mask): (Vec<i64>, Vec<i64>),
) -> PyResult<Padded<'py>> {
    let shape = |cells: Vec<i64>| cells.into_pyarray(py).reshape([rows, width]);
    Ok((shape(ids)?, shape(mask)?))
}
