//! The configuration of machines after imaging: files with a name, a value and a handler, at three levels (factory, device
//! group, device), from the request that changes them to the steps by which a machine takes them over.
//!
//! Pure: no sockets, files, clocks or async; time and randomness are arguments. The controller uses the first half of it
//! ([`ConfigCreate`], [`ConfigFiles`], [`History`], [`effective`], [`conditional`]), the machine the second ([`Document`],
//! [`ecies`], [`plan`], [`handler`], [`one_shot`], [`pace`], [`sota`]), and [`work`] is what else it does for its host.

#![warn(missing_docs)]

mod clash;
pub mod conditional;
mod create;
mod document;
pub mod ecies;
pub mod effective;
mod file;
mod files;
pub mod handler;
mod history;
mod name;
pub mod one_shot;
mod opened;
pub mod pace;
pub mod plan;
mod sealed;
mod settings;
pub mod sota;
pub mod work;

pub use create::{BadRequest, ConfigCreate, LONGEST_REASON};
pub use document::{BadDocument, Document, DocumentFile, LONGEST_DOCUMENT};
pub use file::ConfigFile;
pub use files::{BadFiles, ConfigFiles, LONGEST_VERSION, MOST_FILES, NoSuchFile};
pub use history::{ConfigVersion, History, KEPT_VERSIONS};
pub use name::{BadFileName, DRAFT_NAME, FileName, LONGEST_NAME, LONGEST_PART};
pub use opened::{OpenError, OpenedFile, has_secrets, open};
pub use sealed::SealError;
pub use settings::SETTINGS_FILE;
