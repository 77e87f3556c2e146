//! The events at which plugins are called, with FOG's names.

use serde::Deserialize;

/// An event at which plugins are called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum Event {
    /// Which classes have routes.
    #[serde(rename = "API_VALID_CLASSES")]
    ValidClasses,
    /// Which classes have `task` and `cancel`.
    #[serde(rename = "API_TASKING_CLASSES")]
    TaskingClasses,
    /// Which classes have `active`.
    #[serde(rename = "API_ACTIVE_TASK_CLASSES")]
    ActiveTaskClasses,
    /// A list or the result of a search is about to be sent.
    #[serde(rename = "API_MASSDATA_MAPPING")]
    MassData,
    /// One object is about to be sent.
    #[serde(rename = "API_INDIVDATA_MAPPING")]
    IndivData,
    /// An object has been rendered, on its own or inside another one.
    #[serde(rename = "API_GETTER")]
    Getter,
}

impl Event {
    pub(super) const ALL: [Self; 6] = [
        Self::ValidClasses,
        Self::TaskingClasses,
        Self::ActiveTaskClasses,
        Self::MassData,
        Self::IndivData,
        Self::Getter,
    ];

    /// Name of the event, and of the function that a plugin has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ValidClasses => "API_VALID_CLASSES",
            Self::TaskingClasses => "API_TASKING_CLASSES",
            Self::ActiveTaskClasses => "API_ACTIVE_TASK_CLASSES",
            Self::MassData => "API_MASSDATA_MAPPING",
            Self::IndivData => "API_INDIVDATA_MAPPING",
            Self::Getter => "API_GETTER",
        }
    }

    /// The variable that a plugin changes.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::ValidClasses => "validClasses",
            Self::TaskingClasses => "validTaskingClasses",
            Self::ActiveTaskClasses => "validActiveTasks",
            Self::MassData | Self::IndivData | Self::Getter => "data",
        }
    }
}
