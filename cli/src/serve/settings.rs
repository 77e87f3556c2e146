//! Reads the settings of the site: to start with them, only to check them, and again on SIGHUP.

use std::error::Error;

use foghorn_settings::Layers;
use foghorn_telemetry::Reread;

use super::ServeArgs;
use super::plan::{Plan, layers};
use crate::exit::{Exit, Failure};
use crate::output::print;

/// What file, variables and flags say, and what follows from it.
pub(super) fn read(args: &ServeArgs) -> Result<(Layers, Plan), Failure> {
    let layers = layers(args, std::env::vars_os())?;
    let plan = Plan::new(args, &layers)?;
    Ok((layers, plan))
}

/// Says whether the settings can be used, and where they come from. Makes no file and opens no
/// port.
pub(super) fn check(args: &ServeArgs) -> Result<Exit, Failure> {
    let checked = read(args).and_then(|(layers, plan)| {
        let failed = |error: Box<dyn Error + Send + Sync>| {
            Failure::usage("what the configuration names cannot be used").caused_by(error)
        };
        foghorn_controller::check_files(&plan.controller).map_err(|error| failed(error.into()))?;
        let of_agent = plan.agent.check_files();
        of_agent.map_err(|error| failed(error.into()))?;
        Ok(layers)
    });
    let layers = checked.map_err(|failure| failure.ending_with(Exit::Failed))?;
    print(&format!("the configuration is valid\n{}", layers.shown()))?;
    Ok(Exit::Ok)
}

/// What the settings say by now, while the site runs with those of its start.
pub(super) fn reread(
    args: &ServeArgs,
    start: &Layers,
) -> Result<Reread, Box<dyn Error + Send + Sync>> {
    let (layers, plan) = read(args)?;
    let mut others = layers.changed_since(start);
    others.retain(|key| key != "log.filter");
    Ok(Reread {
        filter: plan.log_filter,
        others,
    })
}
