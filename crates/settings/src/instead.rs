//! What a program does with its configuration instead of running.

use crate::form::Form;

/// Flags of the command that runs a program.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[group(multiple = false)]
pub struct Instead {
    /// Read everything that the configuration says and names, say whether it is valid and where
    /// each setting comes from, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Print a configuration file with every key, its default and its meaning, and exit
    #[arg(long)]
    pub print_default_config: bool,
    /// Print the JSON Schema of the configuration file, and exit
    #[arg(long)]
    pub print_config_schema: bool,
}

impl Instead {
    /// Whether something else is asked for than to run.
    #[must_use]
    pub fn is_given(self) -> bool {
        self != Self::default()
    }

    /// What is to be printed, if the flags ask for something that needs no configuration.
    #[must_use]
    pub fn text(self, form: &Form) -> Option<String> {
        if self.print_default_config {
            Some(form.sample())
        } else {
            self.print_config_schema.then(|| form.schema())
        }
    }
}
