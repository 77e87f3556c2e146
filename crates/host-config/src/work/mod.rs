//! What a machine does for its host: the command line of a snapin, who is logged in, and which name it may take. What is read
//! and run is with the machine; here is what follows from it.

pub mod command;
pub mod host_name;
pub mod logind;
pub mod output;
pub mod sessions;
pub mod utmp;
pub mod words;
