//! What machines do for their hosts and what can be switched off: for all by FOG's settings, for one host by
//! FOG's modules.

use std::fmt;

use foghorn_rest_types::host_work::HostModules;
use foghorn_types::HostId;

use crate::state::Tables;
use crate::state::classes::{Module, ModuleAssociation, Service};
use crate::state::value::fold;

/// Something that can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty {
    Snapins,
    Power,
    HostName,
    Users,
}

impl Duty {
    /// FOG's setting that switches it off for all hosts.
    fn setting(self) -> &'static str {
        match self {
            Self::Snapins => "FOG_CLIENT_SNAPIN_ENABLED",
            Self::Power => "FOG_CLIENT_POWERMANAGEMENT_ENABLED",
            Self::HostName => "FOG_CLIENT_HOSTNAMECHANGER_ENABLED",
            Self::Users => "FOG_CLIENT_USERTRACKER_ENABLED",
        }
    }

    /// FOG's module that it is, for one host.
    fn module(self) -> &'static str {
        match self {
            Self::Snapins => "snapinclient",
            Self::Power => "powermanagement",
            Self::HostName => "hostnamechanger",
            Self::Users => "usertracker",
        }
    }

    /// Whether the machine of a host does it.
    #[must_use]
    pub fn is_on(self, tables: &Tables, host: HostId) -> bool {
        self.is_on_anywhere(tables) && self.is_on_at(tables, host)
    }

    /// A setting whose row was deleted switches nothing off.
    fn is_on_anywhere(self, tables: &Tables) -> bool {
        let setting = tables.of::<Service>().named(self.setting());
        setting.is_none_or(|setting| !matches!(setting.value.trim(), "" | "0"))
    }

    /// A host for which modules were chosen has these and no others; any other host has what new hosts have.
    fn is_on_at(self, tables: &Tables, host: HostId) -> bool {
        let modules = tables.of::<Module>();
        let own = modules.owner("shortName", &fold(self.module()));
        let mut others = false;
        for row in tables
            .of::<ModuleAssociation>()
            .by(ModuleAssociation::BY_HOST, host.get().into())
        {
            if Some(row.module) == own {
                return row.is_on();
            }
            others |= row.is_on();
        }
        let module = own.and_then(|id| modules.get(id));
        !others && module.is_none_or(|module| module.is_default != 0)
    }
}

/// Named as the settings that switch it off, for whoever is refused.
impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or module {}", self.setting(), self.module())
    }
}

/// What is switched on for a host.
pub(super) fn switched_on(tables: &Tables, host: HostId) -> HostModules {
    let is_on = |duty: Duty| duty.is_on(tables, host);
    HostModules {
        snapins: is_on(Duty::Snapins),
        power: is_on(Duty::Power),
        host_name: is_on(Duty::HostName),
        users: is_on(Duty::Users),
        inventory: true,
    }
}
