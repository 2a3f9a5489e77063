//! Naive `f64` twins of everything fast, written from the definitions; they share no code with it.

use crate::MatrixRef;

/// Σ aᵢ·bᵢ.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        sum += f64::from(a[i]) * f64::from(b[i]);
    }
    sum
}

/// Σ |aᵢ·bᵢ|, the scale of the error of a dot product.
pub fn dot_of_sizes(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        sum += (f64::from(a[i]) * f64::from(b[i])).abs();
    }
    sum
}

/// Σ (aᵢ−bᵢ)².
pub fn l2(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        let difference = f64::from(a[i]) - f64::from(b[i]);
        sum += difference * difference;
    }
    sum
}

/// alpha·x + y.
pub fn axpy(alpha: f32, x: &[f32], y: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for i in 0..x.len() {
        out.push(f64::from(alpha) * f64::from(x[i]) + f64::from(y[i]));
    }
    out
}

/// For each row of `codes`, `parts` bytes each, the sum of its entries in 16-entry `tables`.
pub fn scan(tables: &[u8], codes: &[u8], parts: usize) -> Vec<u64> {
    let mut sums = Vec::new();
    for row in 0..codes.len() / parts {
        let mut sum = 0;
        for part in 0..parts {
            sum += u64::from(tables[part * 16 + usize::from(codes[row * parts + part])]);
        }
        sums.push(sum);
    }
    sums
}

/// The nearest centroid of every row and its squared distance; the lower number on ties.
pub fn nearest(rows: MatrixRef<'_>, centroids: MatrixRef<'_>) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    for row in 0..rows.rows() {
        let mut best = (0, f64::INFINITY);
        for c in 0..centroids.rows() {
            let distance = l2(rows.row(row), centroids.row(c));
            if distance < best.1 {
                best = (c, distance);
            }
        }
        found.push(best);
    }
    found
}

/// Σ over the rows of the squared distance to the nearest centroid.
pub fn objective(rows: MatrixRef<'_>, centroids: MatrixRef<'_>) -> f64 {
    let mut sum = 0.0;
    for (_, distance) in nearest(rows, centroids) {
        sum += distance;
    }
    sum
}

/// The codebooks of a product quantizer, and the columns that each serves.
pub type Codebooks<'a> = [(std::ops::Range<usize>, MatrixRef<'a>)];

/// For each part of each row the nearest centroid and its squared distance; the lower on ties.
pub fn encode(rows: MatrixRef<'_>, codebooks: &Codebooks<'_>) -> Vec<(usize, f64)> {
    let mut codes = Vec::new();
    for row in 0..rows.rows() {
        for (columns, book) in codebooks {
            let part = &rows.row(row)[columns.clone()];
            let part = MatrixRef::new(part, part.len()).expect("a part has columns");
            codes.push(nearest(part, *book)[0]);
        }
    }
    codes
}

/// The vector that one code stands for.
pub fn decode(code: &[u8], codebooks: &Codebooks<'_>) -> Vec<f32> {
    let mut vector = Vec::new();
    for (part, (_, book)) in codebooks.iter().enumerate() {
        vector.extend_from_slice(book.row(usize::from(code[part])));
    }
    vector
}

/// The k rows with the highest scores, best first, the lower number on ties.
pub fn top_k(
    rows: MatrixRef<'_>,
    query: &[f32],
    k: usize,
    score: impl Fn(&[f32], &[f32]) -> f64,
) -> Vec<(usize, f64)> {
    let mut all = Vec::new();
    for row in 0..rows.rows() {
        all.push((row, score(query, rows.row(row))));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

/// normalise( Σ_t weight[t]·scale[t]·row t of `table` ) over `tokens`; zeros if the sum is zero.
pub fn static_vector(
    table: &[i8],
    scale: &[f32],
    weight: &[f32],
    dim: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    for &token in tokens {
        for j in 0..dim {
            let factor = f64::from(weight[token]) * f64::from(scale[token]);
            sum[j] += factor * f64::from(table[token * dim + j]);
        }
    }
    let mut square = 0.0;
    for x in &sum {
        square += x * x;
    }
    if square > 0.0 {
        for x in &mut sum {
            *x /= square.sqrt();
        }
    }
    sum
}

/// The u that minimises Σ (row·u − score)² + epsilon·‖u‖², from (VᵀV + εI)·u = Vᵀa by elimination.
pub fn ridge(rows: &[Vec<f64>], scores: &[f64], dim: usize, epsilon: f64) -> Vec<f64> {
    let mut system = vec![vec![0.0; dim + 1]; dim];
    for i in 0..dim {
        system[i][i] += epsilon;
        for (row, score) in rows.iter().zip(scores) {
            for j in 0..dim {
                system[i][j] += row[i] * row[j];
            }
            system[i][dim] += row[i] * score;
        }
    }
    for i in 0..dim {
        let mut pivot = i;
        for j in i..dim {
            if system[j][i].abs() > system[pivot][i].abs() {
                pivot = j;
            }
        }
        system.swap(i, pivot);
        let pivot = system[i].clone();
        for (j, row) in system.iter_mut().enumerate() {
            if j != i {
                let factor = row[i] / pivot[i];
                for (x, p) in row.iter_mut().zip(&pivot) {
                    *x -= factor * p;
                }
            }
        }
    }
    (0..dim).map(|i| system[i][dim] / system[i][i]).collect()
}

/// The pseudo-inverse of the matrix whose columns are `columns`, one row a column (Greville 1960).
///
/// A column adds a direction if more than `tolerance` of its length lies outside those before it.
pub fn greville(columns: &[Vec<f64>], tolerance: f64) -> Vec<Vec<f64>> {
    let sum = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let mut inverse: Vec<Vec<f64>> = Vec::new();
    for (m, b) in columns.iter().enumerate() {
        let d: Vec<f64> = inverse.iter().map(|row| sum(row, b)).collect();
        let mut e = b.clone();
        for j in 0..m {
            for i in 0..e.len() {
                e[i] -= columns[j][i] * d[j];
            }
        }
        let mut g = vec![0.0; b.len()];
        if sum(&e, &e).sqrt() > tolerance * sum(b, b).sqrt() {
            let square = sum(&e, &e);
            for i in 0..g.len() {
                g[i] = e[i] / square;
            }
        } else {
            for j in 0..m {
                for i in 0..g.len() {
                    g[i] += d[j] * inverse[j][i] / (1.0 + sum(&d, &d));
                }
            }
        }
        for j in 0..m {
            for i in 0..g.len() {
                inverse[j][i] -= d[j] * g[i];
            }
        }
        inverse.push(g);
    }
    inverse
}

/// What a search by rounds knows after some of them, from the definitions.
#[derive(Debug, Clone)]
pub struct CurRound {
    /// The vector that explains the scores.
    pub vector: Vec<f64>,
    /// Its product with every row.
    pub estimates: Vec<f64>,
}

/// u = u₀ + ridge(V_S, a − V_S·u₀), mixed with `weight` of u₀, and V·u; without u₀ it is zeros.
pub fn cur_round(
    factors: &[Vec<f64>],
    scored: &[(usize, f64)],
    prior: &[f64],
    toward: bool,
    weight: f64,
    epsilon: f64,
) -> CurRound {
    let product = |row: &[f64], u: &[f64]| -> f64 { row.iter().zip(u).map(|(x, u)| x * u).sum() };
    let rows: Vec<Vec<f64>> = scored.iter().map(|&(item, _)| factors[item].clone()).collect();
    let mut left = Vec::new();
    for &(item, score) in scored {
        left.push(score - if toward { product(&factors[item], prior) } else { 0.0 });
    }
    let mut vector = ridge(&rows, &left, prior.len(), epsilon);
    for i in 0..vector.len() {
        if toward {
            vector[i] += prior[i];
        }
        vector[i] = (1.0 - weight) * vector[i] + weight * prior[i];
    }
    let estimates = factors.iter().map(|row| product(row, &vector)).collect();
    CurRound { vector, estimates }
}
