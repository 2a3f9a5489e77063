//! Cross-encoder search: the best rows by a slow scorer, for a fixed number of its calls.
//!
//! Every item has a row of factors V, every query becomes a vector u such that V·u is about what the
//! scorer says. u is regressed on the items scored so far, the items that V·u likes best are scored
//! next, and so on for some rounds; what is returned is the best of what was scored.
//!
//! One routine serves three methods, which differ in V, in how the first items are chosen and in rounds:
//!
//! ```text
//! ANNCUR   V = Rᵀ (columns of an anchor query × item score matrix), random items, one more round
//! ADACUR   V = Rᵀ, items by an encoder or at random, several rounds
//! AXN      V = encoder vectors, or factors of a sparse score matrix; the same rounds
//! ```
//!
//! Yadav, Monath, Angell, Zaheer, McCallum 2022 (arXiv 2210.12579); Yadav et al. 2023 (2305.02996);
//! Yadav, Monath, Zaheer, Fergus, McCallum 2024 (2405.03651).
//!
//! ```text
//! solve    rows of V and their scores -> u, one row after the other
//! search   rounds: which rows to score next, told what they scored
//! factors  what a round asks of the dense index that holds V
//! ```

mod factors;
mod search;
mod solve;

pub use search::{Best, Plan, Round, Search, Start};
pub use solve::{Ridge, Solver};
