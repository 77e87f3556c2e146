//! Hosts: the machines that are imaged.

use foghorn_types::HostId;

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
use crate::state::value::{Flag, FogTime, leading_number};

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
        Field::text("name", 16, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, 1 to 15 letters, digits and a few signs, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
        Field::text("ip", 25, |c: &Self| &c.ip, |c| &mut c.ip)
            .about("Address that was noted for it; Foghorn does not use it."),
        Field::reference("imageID", |c: &Self| c.image, |c, id| c.image = id)
            .about("Image that is deployed to it or captured from it."),
        Field::number("building", |c: &Self| &c.building, |c| &mut c.building)
            .about("Number of a building; kept for old scripts."),
        Field::time(
            "createdTime",
            |c: &Self| &c.created_time,
            |c| &mut c.created_time,
        )
        .about("When it was created."),
        Field::time("deployed", |c: &Self| &c.deployed, |c| &mut c.deployed)
            .about("When an image was last deployed to it."),
        Field::text(
            "createdBy",
            50,
            |c: &Self| &c.created_by,
            |c| &mut c.created_by,
        )
        .about("Name of the user who created it."),
        Field::flag("useAD", |c: &Self| &c.use_ad, |c| &mut c.use_ad)
            .about("Whether it joins a domain."),
        Field::text(
            "ADDomain",
            250,
            |c: &Self| &c.ad_domain,
            |c| &mut c.ad_domain,
        )
        .about("Domain that it joins."),
        Field::long_text("ADOU", |c: &Self| &c.ad_ou, |c| &mut c.ad_ou)
            .about("Organisational unit for its account."),
        Field::text("ADUser", 250, |c: &Self| &c.ad_user, |c| &mut c.ad_user)
            .about("Account that may join it to the domain."),
        Field::text(
            "ADPass",
            250,
            |c: &Self| &c.ad_password,
            |c| &mut c.ad_password,
        )
        .secret()
        .about("Password of that account."),
        Field::long_text(
            "ADPassLegacy",
            |c: &Self| &c.ad_password_legacy,
            |c| &mut c.ad_password_legacy,
        )
        .secret()
        .about("Password of that account in the form that old clients read."),
        Field::long_text(
            "productKey",
            |c: &Self| &c.product_key,
            |c| &mut c.product_key,
        )
        .secret()
        .about("Product key of its operating system."),
        Field::text(
            "printerLevel",
            2,
            |c: &Self| &c.printer_level,
            |c| &mut c.printer_level,
        )
        .about("How far its printers are managed: 0 not, 1 only those added, 2 all."),
        Field::text(
            "kernelArgs",
            250,
            |c: &Self| &c.kernel_args,
            |c| &mut c.kernel_args,
        )
        .about("Further arguments for the kernel that it boots."),
        Field::text("kernel", 250, |c: &Self| &c.kernel, |c| &mut c.kernel)
            .about("Kernel to boot instead of the usual one."),
        Field::text(
            "kernelDevice",
            250,
            |c: &Self| &c.kernel_device,
            |c| &mut c.kernel_device,
        )
        .about("Rule for the disk to image: path, serial, WWN or size."),
        Field::long_text("init", |c: &Self| &c.init, |c| &mut c.init)
            .about("Initial file system to boot instead of the usual one."),
        Field::flag("pending", |c: &Self| &c.pending, |c| &mut c.pending)
            .about("Whether it registered itself and waits for approval."),
        Field::long_text("pub_key", |c: &Self| &c.pub_key, |c| &mut c.pub_key)
            .about("Public key of the client on it, in hexadecimal."),
        Field::long_text("sec_tok", |c: &Self| &c.sec_tok, |c| &mut c.sec_tok)
            .secret()
            .about("Token by which the client on it proves itself."),
        Field::time("sec_time", |c: &Self| &c.sec_time, |c| &mut c.sec_time)
            .about("When that token ends."),
        Field::text(
            "pingstatus",
            20,
            |c: &Self| &c.pingstatus,
            |c| &mut c.pingstatus,
        )
        .displayed(ping_icon)
        .about("Markup of an icon for the last ping; nothing pings hosts."),
        Field::long_text("biosexit", |c: &Self| &c.biosexit, |c| &mut c.biosexit)
            .about("How a BIOS machine leaves the boot menu."),
        Field::long_text("efiexit", |c: &Self| &c.efiexit, |c| &mut c.efiexit)
            .about("How an EFI machine leaves the boot menu."),
        Field::flag("enforce", |c: &Self| &c.enforce, |c| &mut c.enforce)
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
            about: "Addresses; the first is the primary one. An edit must bring a new one as its first. At most 24.",
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
    ];
    const RELATIONS: &'static [&'static str] = &["hostscreen", "hostalo", "inventory", "image"];
    const NAMED: bool = true;
    const INDEXES: usize = 1;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
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
