//! Hosts: the machines that are imaged.

use foghorn_types::HostId;

use crate::state::class::{Class, Computed, Reference, Shape, id_in_field, unique_name};
use crate::state::classes::Image;
use crate::state::field::{Field, field};
use crate::state::value::{Flag, FogTime, leading_number};

/// [`Class::points_at`] of a class whose rows belong to the host in the field `host`.
macro_rules! points_at_host {
    () => {
        fn points_at(&self) -> Vec<$crate::state::class::Reference> {
            vec![$crate::state::class::Reference::to::<
                $crate::state::classes::Host,
            >(self.host)]
        }
    };
}
pub(crate) use points_at_host;

/// A machine that is imaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub ip: String,
    pub image: u32,
    pub building: i64,
    pub created_time: FogTime,
    pub deployed: FogTime,
    pub created_by: String,
    pub use_ad: Flag,
    pub ad_domain: String,
    pub ad_ou: String,
    pub ad_user: String,
    pub ad_password: String,
    pub ad_password_legacy: String,
    pub product_key: String,
    pub printer_level: String,
    pub kernel_args: String,
    pub kernel: String,
    /// Rule for the disk that images are written to.
    pub kernel_device: String,
    pub init: String,
    pub pending: Flag,
    pub pub_key: String,
    pub sec_tok: String,
    pub sec_time: FogTime,
    pub pingstatus: String,
    pub biosexit: String,
    pub efiexit: String,
    pub enforce: Flag,
}

impl Host {
    /// Index by image.
    pub const BY_IMAGE: usize = 0;

    /// The typed id; `None` only for a host that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<HostId> {
        HostId::new(self.id)
    }
}

impl Class for Host {
    const NAME: &'static str = "host";
    const ABOUT: &'static str = "A machine that is imaged.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the host."),
        field!(text, "name", 16, name)
            .required()
            .about("Name, 1 to 15 letters, digits and a few signs, unique without case."),
        field!(long_text, "description", description)
            .information()
            .about("Free text."),
        field!(text, "ip", 25, ip)
            .without_effect()
            .about("Address that was noted for it; Foghorn does not use it."),
        field!(reference, "imageID", image)
            .about("Image that is deployed to it or captured from it."),
        field!(number, "building", building)
            .without_effect()
            .about("Number of a building; kept for old scripts."),
        field!(time, "createdTime", created_time)
            .information()
            .about("When it was created."),
        field!(time, "deployed", deployed)
            .information()
            .about("When an image was last deployed to it."),
        field!(text, "createdBy", 50, created_by)
            .information()
            .about("Name of the user who created it."),
        field!(flag, "useAD", use_ad)
            .without_effect()
            .about("Whether it joins a domain."),
        field!(text, "ADDomain", 250, ad_domain)
            .without_effect()
            .about("Domain that it joins."),
        field!(long_text, "ADOU", ad_ou)
            .without_effect()
            .about("Organisational unit for its account."),
        field!(text, "ADUser", 250, ad_user)
            .without_effect()
            .about("Account that may join it to the domain."),
        field!(text, "ADPass", 250, ad_password)
            .secret()
            .without_effect()
            .about("Password of that account."),
        field!(long_text, "ADPassLegacy", ad_password_legacy)
            .secret()
            .without_effect()
            .about("Password of that account in the form that old clients read."),
        field!(long_text, "productKey", product_key)
            .secret()
            .without_effect()
            .about("Product key of its operating system."),
        field!(text, "printerLevel", 2, printer_level)
            .without_effect()
            .about("How far its printers are managed: 0 not, 1 only those added, 2 all."),
        field!(text, "kernelArgs", 250, kernel_args)
            .without_effect()
            .about("Further arguments for the kernel that it boots."),
        field!(text, "kernel", 250, kernel)
            .without_effect()
            .about("Kernel to boot instead of the usual one."),
        field!(text, "kernelDevice", 250, kernel_device).about(
            "Rule for the disk to image: path, serial, WWN or size; several with commas, or all.",
        ),
        field!(long_text, "init", init)
            .without_effect()
            .about("Initial file system to boot instead of the usual one."),
        field!(flag, "pending", pending)
            .without_effect()
            .about("Whether it registered itself and waits for approval."),
        field!(long_text, "pub_key", pub_key)
            .without_effect()
            .about("Public key of the client on it, in hexadecimal."),
        field!(long_text, "sec_tok", sec_tok)
            .secret()
            .without_effect()
            .about("Token by which the client on it proves itself."),
        field!(time, "sec_time", sec_time)
            .without_effect()
            .about("When that token ends."),
        field!(text, "pingstatus", 20, pingstatus)
            .displayed(ping_icon)
            .without_effect()
            .about("Markup of an icon for the last ping; nothing pings hosts."),
        field!(long_text, "biosexit", biosexit)
            .without_effect()
            .about("How a BIOS machine leaves the boot menu."),
        field!(long_text, "efiexit", efiexit)
            .without_effect()
            .about("How an EFI machine leaves the boot menu."),
        field!(flag, "enforce", enforce)
            .without_effect()
            .about("Whether changes of name and domain are enforced."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "primac",
            shape: Shape::Text,
            about: "Primary address, lower case with colons; empty for none.",
        },
        Computed {
            name: "imagename",
            shape: Shape::Text,
            about: "Name of its image; empty for none.",
        },
        Computed {
            name: "hostscreen",
            shape: Shape::Plain("hostscreensetting"),
            about: "Its screen settings.",
        },
        Computed {
            name: "hostalo",
            shape: Shape::Plain("hostautologout"),
            about: "Its setting for logging users out.",
        },
        Computed {
            name: "inventory",
            shape: Shape::Full("inventory"),
            about: "What is known of its hardware.",
        },
        Computed {
            name: "image",
            shape: Shape::Plain("image"),
            about: "Its image.",
        },
        Computed {
            name: "macs",
            shape: Shape::Texts,
            about: "Its addresses, lower case with colons.",
        },
    ];
    const ACCEPTS: &'static [Computed] = &[
        Computed {
            name: "macs",
            shape: Shape::Texts,
            about: "Addresses; the first is the primary one. An edit sends those that it has, or brings a new one as its first. At most 24.",
        },
        Computed {
            name: "groups",
            shape: Shape::Ids("group"),
            about: "Groups that it is in; replaces those it was in.",
        },
        Computed {
            name: "snapins",
            shape: Shape::Ids("snapin"),
            about: "Snapins that it has; replaces those it had.",
        },
        Computed {
            name: "printers",
            shape: Shape::Ids("printer"),
            about: "Printers that it has; replaces those it had.",
        },
        Computed {
            name: "modules",
            shape: Shape::Ids("module"),
            about: "Modules that are switched on for it; the others are removed.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["hostscreen", "hostalo", "inventory", "image"];
    const INDEXES: usize = 1;
    const POINTED_AT: bool = true;

    id_in_field!();
    unique_name!();

    fn points_at(&self) -> Vec<Reference> {
        vec![Reference::to::<Image>(self.image)]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.image.into())
    }
}

/// The element of a page that FOG's clients find in `pingstatus`: it stands for the number of a
/// socket error, 0 (also for "never tried") being an open port of Windows and 111 a refused
/// connection, as Linux gives it.
pub(crate) fn ping_icon(stored: &str) -> String {
    let code = i32::try_from(leading_number(stored)).unwrap_or_default();
    let (icon, symbol, colour, title) = match code {
        0 => ("windows", "windows", "green", "Windows".to_owned()),
        111 => ("linux", "linux", "green", "Linux".to_owned()),
        code => (
            "down",
            "exclamation-circle",
            "red",
            std::io::Error::from_raw_os_error(code).to_string(),
        ),
    };
    let place = "data-toggle=\"tooltip\" data-placement=\"right\"";
    format!("<i class=\"icon-ping-{icon} fa fa-{symbol} {colour}\" {place} title=\"{title}\"></i>")
}
