//! Reaching other machines: by which addresses they reach this one, and in words for people, why one
//! of them was not reached.

mod own_addresses;
mod trouble;

pub use own_addresses::{own_addresses, reached_at};
pub use trouble::{Trouble, trouble};
