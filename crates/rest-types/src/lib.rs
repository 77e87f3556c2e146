
pub mod native;
