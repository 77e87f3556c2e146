//! Images: a name and settings; what they contain is in [`crate::state::content`].

use foghorn_types::ImageId;

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};
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
        field!(reference, "imageTypeID", image_type)
            .required()
            .about("What of the disk is captured: used blocks of one disk (n, mps), or all of them (dd); an object of class imagetype."),
        field!(reference, "imagePartitionTypeID", image_partition_type)
        .none_as("")
        .about("Which part of the disk is captured and deployed; an object of class imagepartitiontype."),
        Field::id(|c: &Self| c.id).about("Number of the image."),
        field!(text, "name", 40, name).required().about("Name, unique without case."),
        field!(long_text, "description", description).information().about("Free text."),
        field!(long_text, "path", path)
            .required()
            .without_effect().about("Name of its folder on storage nodes."),
        field!(time, "createdTime", created_time).information().about("When it was created."),
        field!(text, "createdBy", 50, created_by)
            .information().about("Name of the user who created it."),
        field!(number, "building", building)
            .without_effect().about("Number of a building; kept for old scripts."),
        field!(text, "size", 255, size)
            .information().about("Sizes of its partitions in bytes, as captured."),
        field!(reference, "osID", os)
            .required()
            .without_effect().about("Its operating system; an object of class os."),
        field!(time, "deployed", deployed).information().about("When it was last captured."),
        field!(text, "format", 1, format)
            .without_effect().about("Format of its files, as one digit; Foghorn has one format and keeps what is stored here."),
        field!(long_text, "magnet", magnet).without_effect().about("Magnet link; kept for old scripts."),
        field!(number, "protected", protected)
            .within(-8_388_608, 8_388_607, 1)
            .about("Not 0: it cannot be deleted."),
        field!(number, "compress", compress).without_effect().about("Compression level."),
        field!(flag, "isEnabled", is_enabled).about("Whether tasks may use it."),
        field!(flag, "toReplicate", to_replicate)
            .about("Whether it is copied to the other nodes of its storage groups; it is unless this is 0."),
        field!(number, "srvsize", srvsize)
            .within(0, i64::MAX, 1)
            .information().about("Size on the storage node in bytes."),
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
    const POINTED_AT: bool = true;

    id_in_field!();
    unique_name!();
}
