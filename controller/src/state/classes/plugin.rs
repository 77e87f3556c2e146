//! Plugins as a FOG server keeps them: whether each is switched on. What a plugin is, and how it
//! does, its file says ([`crate::plugins`]).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// Whether a plugin is switched on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plugin {
    pub id: u32,
    pub name: String,
    /// `0` switches the plugin of the folder with this name off; anything else leaves it on.
    pub state: String,
    pub installed: String,
    pub version: String,
    pub anon_1: String,
    pub anon_2: String,
    pub anon_3: String,
    pub anon_4: String,
    pub anon_5: String,
}

impl Plugin {
    /// What a FOG server shows as `hash`: it depends on the name alone.
    #[must_use]
    pub fn hash(name: &str) -> String {
        Md5::digest(name.as_bytes())
            .iter()
            .fold(String::with_capacity(32), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            })
    }
}

impl Class for Plugin {
    const NAME: &'static str = "plugin";
    const ABOUT: &'static str = "A plugin: a script in the controller's folder of plugins, a row that switches it on or off, or both.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row; absent for a plugin of the folder without one."),
        field!(text, "name", 100, name)
            .required()
            .about("Name of the plugin: that of its file without the ending."),
        field!(text, "state", 1, state)
            .about("0 switches the plugin off within a second; 1 counts it as active in lists."),
        field!(text, "installed", 1, installed)
            .about("1 counts it as installed in lists; without effect on the plugin."),
        field!(text, "version", 100, version)
            .about("Free text. The version of the script itself is shown for a plugin of the folder without a row."),
        field!(text, "pAnon1", 100, anon_1).about("Free text for the plugin's users."),
        field!(text, "pAnon2", 100, anon_2).about("Free text for the plugin's users."),
        field!(text, "pAnon3", 100, anon_3).about("Free text for the plugin's users."),
        field!(text, "pAnon4", 100, anon_4).about("Free text for the plugin's users."),
        field!(text, "pAnon5", 100, anon_5).about("Free text for the plugin's users."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "location",
            shape: Shape::OptionalText,
            about: "The plugin's file, relative to the folder of plugins' parent; null without one.",
        },
        Computed {
            name: "description",
            shape: Shape::OptionalText,
            about: "What the plugin says of itself.",
        },
        Computed {
            name: "icon",
            shape: Shape::OptionalText,
            about: "Icon that the plugin names for pages.",
        },
        Computed {
            name: "runinclude",
            shape: Shape::Texts,
            about: "The plugin's name and its file.",
        },
        Computed {
            name: "hash",
            shape: Shape::Text,
            about: "MD5 of the name, hexadecimal, as a FOG server shows it.",
        },
    ];

    id_in_field!();
    unique_name!();
}
