//! Images: a name and settings; what they contain is in [`crate::state::content`].

use foghorn_types::ImageId;

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
use crate::state::value::{Flag, FogTime};

/// A name and settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    pub image_type: u32,
    pub image_partition_type: u32,
    pub id: u32,
    pub name: String,
    pub description: String,
    pub path: String,
    pub created_time: FogTime,
    pub created_by: String,
    pub building: i64,
    /// Bytes of each partition of the captured disk, joined with `:`.
    pub size: String,
    pub os: u32,
    pub deployed: FogTime,
    pub format: String,
    pub magnet: String,
    pub protected: i64,
    pub compress: i64,
    pub is_enabled: Flag,
    pub to_replicate: Flag,
    /// Bytes that the image takes on a storage node.
    pub srvsize: i64,
}

impl Image {
    /// The typed id; `None` only for an image that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<ImageId> {
        ImageId::new(self.id)
    }
}

impl Class for Image {
    const NAME: &'static str = "image";
    const ABOUT: &'static str = "The contents of a disk that hosts can be given.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::reference("imageTypeID", |c: &Self| c.image_type, |c, id| c.image_type = id)
            .required()
            .about("How disks are captured; an object of class imagetype."),
        Field::reference(
            "imagePartitionTypeID",
            |c: &Self| c.image_partition_type,
            |c, id| c.image_partition_type = id,
        )
        .none_as("")
        .about("Which partitions are captured; an object of class imagepartitiontype."),
        Field::id(|c: &Self| c.id).about("Number of the image."),
        Field::text("name", 40, |c: &Self| &c.name,
            |c| &mut c.name).required().about("Name, unique without case."),
        Field::long_text("description", |c: &Self| &c.description,
            |c| &mut c.description).about("Free text."),
        Field::long_text("path", |c: &Self| &c.path, |c| &mut c.path)
            .required()
            .about("Name of its folder on storage nodes."),
        Field::time("createdTime", |c: &Self| &c.created_time,
            |c| &mut c.created_time).about("When it was created."),
        Field::text("createdBy", 50, |c: &Self| &c.created_by, |c| &mut c.created_by)
            .about("Name of the user who created it."),
        Field::number("building", |c: &Self| &c.building, |c| &mut c.building)
            .about("Number of a building; kept for old scripts."),
        Field::text("size", 255, |c: &Self| &c.size, |c| &mut c.size)
            .about("Sizes of its partitions in bytes, as captured."),
        Field::reference("osID", |c: &Self| c.os, |c, id| c.os = id)
            .required()
            .about("Its operating system; an object of class os."),
        Field::time("deployed", |c: &Self| &c.deployed,
            |c| &mut c.deployed).about("When it was last captured."),
        Field::text("format", 1, |c: &Self| &c.format, |c| &mut c.format)
            .about("Format of its files, as one digit; Foghorn has one format and keeps what is stored here."),
        Field::long_text("magnet", |c: &Self| &c.magnet,
            |c| &mut c.magnet).about("Magnet link; kept for old scripts."),
        Field::number("protected", |c: &Self| &c.protected, |c| &mut c.protected)
            .within(-8_388_608, 8_388_607, 1)
            .about("Not 0: a capture may not overwrite it."),
        Field::number("compress", |c: &Self| &c.compress,
            |c| &mut c.compress).about("Compression level."),
        Field::flag("isEnabled", |c: &Self| &c.is_enabled,
            |c| &mut c.is_enabled).about("Whether tasks may use it."),
        Field::flag("toReplicate", |c: &Self| &c.to_replicate, |c| &mut c.to_replicate)
            .about("Whether it is copied to the other nodes of its storage groups."),
        Field::number("srvsize", |c: &Self| &c.srvsize, |c| &mut c.srvsize)
            .within(0, i64::MAX, 1)
            .about("Size on the storage node in bytes."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "os",
            shape: Shape::Full("os"),
            about: "Its operating system.",
        },
        Computed {
            name: "imagepartitiontype",
            shape: Shape::Full("imagepartitiontype"),
            about: "Which partitions are captured.",
        },
        Computed {
            name: "imagetype",
            shape: Shape::Full("imagetype"),
            about: "How disks are captured.",
        },
        Computed {
            name: "imagetypename",
            shape: Shape::Text,
            about: "Name of its type.",
        },
        Computed {
            name: "imageparttypename",
            shape: Shape::Text,
            about: "Name of the choice of partitions.",
        },
        Computed {
            name: "osname",
            shape: Shape::Text,
            about: "Name of its operating system.",
        },
        Computed {
            name: "storagegroupname",
            shape: Shape::Text,
            about: "Name of its primary storage group.",
        },
    ];
    const ACCEPTS: &'static [Computed] = &[
        Computed {
            name: "storagegroups",
            shape: Shape::Ids("storagegroup"),
            about: "Storage groups that hold it, the first as primary; without any, the first group there is.",
        },
        Computed {
            name: "hosts",
            shape: Shape::Ids("host"),
            about: "Hosts that get the image.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["os", "imagepartitiontype", "imagetype"];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
