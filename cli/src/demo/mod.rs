//! `foghorn demo`: a complete capture and deploy on one machine with all real components, verified
//! by other programs.
//!
//! A site (`foghorn serve`) and clients run as processes; everything between them is what a fleet
//! uses: REST, mutual TLS, QUIC, boot tokens. Only the disks are files. The result is verified with
//! `e2fsck`, `ntfsfix`, `fsck.fat`, `sgdisk` and `sha256sum`.

mod check;
mod disk;
mod figures;
mod site;
mod tools;
mod transport;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{Host, Image, Row};
use foghorn_rest_types::native::ImageStatus;
use foghorn_rest_types::tasks::TaskKind;
use foghorn_telemetry::interrupt;

use self::check::{Survey, survey};
use self::disk::path_text;
use self::figures::Transfer;
use self::site::{Site, broken};
use self::transport::Transport;
use crate::exit::{Exit, Failure};
use crate::machines::{Machine, watch};
use crate::number::within;
use crate::output::print;
use crate::verbs::order::order_one;
use crate::verbs::wait::parse_duration;

#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Disk or disk image to capture instead of a generated one; it is only read
    #[arg(long, env = "DISK", value_name = "PATH")]
    disk: Option<PathBuf>,
    /// Leave the server running and print how to use it
    #[arg(long, env = "KEEP", value_parser = clap::builder::FalseyValueParser::new())]
    keep: bool,
    /// Deploy to each machine by unicast instead of to all by multicast
    #[arg(long, env = "UNICAST", value_parser = clap::builder::FalseyValueParser::new())]
    unicast: bool,
    /// MiB of this machine's files to copy to the generated disk
    #[arg(long, value_name = "MIB", default_value_t = 300, value_parser = within(1..=65536))]
    content: u32,
    /// Folder for the disks, instead of the system's temporary folder; needs about five times the
    /// size of the content
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Give up after this time, such as 90s, 30m, 2h
    #[arg(long, default_value = "15m", value_parser = parse_duration)]
    timeout: Duration,
}

/// # Errors
/// When any step fails; all processes and files are removed then, except with `--keep`.
pub fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let deadline = Instant::now() + args.timeout;
    interrupt::watch().map_err(broken)?;
    tools::check()
        .map_err(|error| broken(error).advise("run `make setup`, which installs them"))?;
    let parent = args.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new()
        .prefix("foghorn-demo-")
        .tempdir_in(parent)
        .map_err(broken)?;
    if work
        .path()
        .to_str()
        .is_none_or(|path| path.contains(|c: char| c.is_whitespace()))
    {
        return Err(Failure::usage(
            "the path of the work folder must be plain text without spaces",
        ));
    }

    // `make demo DISK=` means that no disk is given.
    let golden = match args
        .disk
        .as_ref()
        .filter(|disk| !disk.as_os_str().is_empty())
    {
        Some(disk) => disk.canonicalize().map_err(|error| {
            Failure::new(
                Exit::NotFound,
                format!("could not open the disk {}", disk.display()),
            )
            .caused_by(error)
        })?,
        None => {
            step(
                "creating a disk: GPT, EFI system partition, ext4 and NTFS with files of this machine",
            );
            disk::make(work.path(), u64::from(args.content) << 20, detail).map_err(broken)?
        }
    };
    detail("checking the disk and hashing its files, for the comparison at the end");
    let captured = survey(&golden, work.path()).map_err(broken)?;
    step("starting a site on loopback");
    let site = Site::start(work.path())?;
    let image = site.create_image("demo")?;
    let mut transfers = vec![capture(&site, &image, &golden, work.path(), deadline)?];
    let transport = if args.unicast {
        Transport::Unicast
    } else {
        Transport::Multicast
    };
    let machines = deploy(&site, &image, &golden, work.path(), transport, deadline)?;
    let verified = verify(&machines, &captured, work.path())?;
    for machine in &machines {
        let took = machine.took.unwrap_or_default();
        transfers.push(Transfer {
            what: format!("deploy to {}", machine.host.view.name),
            took,
        });
    }
    let status: ImageStatus = site
        .api
        .get(&format!("/foghorn/v1/images/{}", image.view.id))?;
    let content = status
        .content
        .ok_or_else(|| broken("the image has no content after its capture"))?;
    print(&figures::table(&content, &transfers))?;
    if args.keep {
        keep(site, work)?;
    } else {
        drop(site);
        work.close().map_err(broken)?;
    }
    print(&format!(
        "demo: captured 1, deployed {}, verified {verified}\n",
        machines.len()
    ))?;
    Ok(Exit::Ok)
}

fn step(text: &str) {
    eprintln!("== {text}");
}

/// A part of a step that takes more than a moment.
fn detail(text: &str) {
    eprintln!("   {text}");
}

fn machine_address(number: usize) -> Result<foghorn_types::MacAddress, Failure> {
    format!("52:54:00:f0:90:{number:02x}")
        .parse()
        .map_err(broken)
}

/// A host of the demo, identified by a number.
fn host(site: &Site, number: usize) -> Result<Row<Host>, Failure> {
    site.create_host(&format!("demo-{number}"), machine_address(number)?)
}

fn capture(
    site: &Site,
    image: &Row<Image>,
    golden: &Path,
    work: &Path,
    deadline: Instant,
) -> Result<Transfer, Failure> {
    step("capturing the disk");
    let host = host(site, 0)?;
    let task = order_one(&site.api, &host, image, TaskKind::Capture)?.task;
    let machine = Machine::start(&site.api, host, task, golden, work).map_err(broken)?;
    let mut machines = [machine];
    watch(&site.api, &mut machines, deadline).map_err(broken)?;
    Ok(Transfer {
        what: "capture".to_owned(),
        took: machines[0].took.unwrap_or_default(),
    })
}

/// Three machines at once: a disk of the same size, one that is a GiB larger, and one with a size
/// that is a multiple of nothing but the sector size.
fn deploy(
    site: &Site,
    image: &Row<Image>,
    golden: &Path,
    work: &Path,
    transport: Transport,
    deadline: Instant,
) -> Result<Vec<Machine>, Failure> {
    step(&format!(
        "deploying it to three machines at once, by {transport}"
    ));
    let size = disk_size(golden)?;
    let more = [0, 1 << 30, 241_117 * 512];
    let hosts: Vec<Row<Host>> = (1..=more.len())
        .map(|number| host(site, number))
        .collect::<Result<_, _>>()?;
    let tasks = transport.order(site, image, &hosts)?;
    let mut machines = Vec::new();
    for (at, ((host, task), more)) in hosts.into_iter().zip(tasks).zip(more).enumerate() {
        let disk = work.join(format!("machine-{}.img", at + 1));
        disk::set_len(&disk, size + more).map_err(broken)?;
        machines.push(Machine::start(&site.api, host, task, &disk, work).map_err(broken)?);
    }
    watch(&site.api, &mut machines, deadline).map_err(broken)?;
    for machine in &machines {
        transport.check(site, machine.task)?;
    }
    Ok(machines)
}

/// The position of the end, which also works for a block device, where the length in the metadata
/// is 0.
fn disk_size(disk: &Path) -> Result<u64, Failure> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = std::fs::File::open(disk).map_err(broken)?;
    file.seek(SeekFrom::End(0)).map_err(broken)
}

fn verify(machines: &[Machine], captured: &Survey, work: &Path) -> Result<usize, Failure> {
    step(
        "checking the disks with sgdisk, e2fsck, ntfsfix and fsck.fat, and the hash of every file",
    );
    for machine in machines {
        let found = survey(&machine.disk, work).map_err(broken)?;
        found.same_as(captured, &machine.disk).map_err(broken)?;
        eprintln!(
            "{}: {} files have the same hashes as on the captured disk",
            machine.host.view.name,
            found.files()
        );
    }
    Ok(machines.len())
}

/// Leaves the server and its state, and prints where everything is.
fn keep(site: Site, work: tempfile::TempDir) -> Result<(), Failure> {
    let folder = work.keep();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, &site.credentials.ca_pem).map_err(broken)?;
    let (url, ca) = (&site.credentials.url, path_text(&ca));
    let tokens = format!(
        "-H 'fog-api-token: {}' -H 'fog-user-token: {}'",
        site.credentials.api_token, site.credentials.user_token
    );
    print(&format!(
        "\nThe server is still running at {url} (process {}, files in {}).\nAPI token:  {}\nuser token: {}\n\
         curl --cacert {ca} {tokens} {url}/fog/host\n\
         curl --cacert {ca} {tokens} {url}/fog/image\n\
         curl --cacert {ca} {tokens} '{url}/foghorn/v1/tasks?ids=1,2,3,4'\n\
         To stop it: kill {0}; to remove its disks and images as well: rm -r {1}\n\n",
        site.server.id(),
        folder.display(),
        site.credentials.api_token,
        site.credentials.user_token,
    ))?;
    site.server.release();
    Ok(())
}
