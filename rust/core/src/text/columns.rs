//! Texts as the columns of other libraries hold them: UTF-8 with offsets, code points of one width.

use crate::{Error, Result};

/// Appends the texts of a column in place: text `i` is `data[offsets[i]..offsets[i + 1]]`.
///
/// `row` is the number of the first, for errors. Refuses offsets that fall or leave the data, and bytes
/// that are not UTF-8: both are looked at here, once, and whoever gave them is not trusted.
pub fn utf8<'d, O: Copy + TryInto<usize>>(
    offsets: &[O],
    data: &'d [u8],
    row: usize,
    texts: &mut Vec<&'d str>,
) -> Result<()> {
    texts.reserve(offsets.len().saturating_sub(1));
    for (i, ends) in offsets.windows(2).enumerate() {
        let range = ends[0].try_into().ok().zip(ends[1].try_into().ok());
        let bytes = range.and_then(|(first, end)| data.get(first..end));
        let text = bytes.and_then(|bytes| str::from_utf8(bytes).ok());
        texts.push(text.ok_or_else(|| {
            let want = "UTF-8 between offsets that rise and stay within the data";
            Error::range("texts", want, format!("something else in row {}", row + i))
        })?);
    }
    Ok(())
}

/// The texts of a column of code points, `width` a row, with zeros behind shorter texts.
///
/// What is no character (a lone surrogate) becomes U+FFFD.
pub fn utf32(points: &[u32], width: usize) -> Vec<String> {
    let text = |row: &[u32]| {
        let len = row.iter().rposition(|&point| point != 0).map_or(0, |last| last + 1);
        row[..len].iter().map(|&point| char::from_u32(point).unwrap_or('\u{FFFD}')).collect()
    };
    points.chunks_exact(width.max(1)).map(text).collect()
}
