//! The commands of the documentation are run as they are printed, page after page on one server, in
//! the order in which the pages are below. What is not run is named, with the reason; a command
//! that a page gets and nobody looks at here is a failure. What was typed and printed is kept in
//! `target/pages` for people.
//!
//! Elsewhere: `docs/api/README.md` (`api_guide`), `backup.md` (`backups`), `a-room-by-hand.md` and
//! `install.md` (`newcomer`).

mod daily;
mod servers;
mod site;
mod table;
mod told;

use std::fs;

use anyhow::Result;
use foghorn_tests::tools::for_people;

use crate::block_devices::may_make_loop_devices;
use site::Site;

#[test]
fn the_pages_do_what_they_say() -> Result<()> {
    if !may_make_loop_devices() {
        return Ok(());
    }
    let mut site = Site::new()?;
    servers::quick_start(&mut site)?;
    servers::readme(&mut site)?;
    daily::host_lists(&mut site)?;
    daily::snapins(&mut site)?;
    daily::command_line(&mut site)?;
    daily::joining(&mut site)?;
    daily::notifications(&mut site)?;
    daily::versions(&mut site)?;
    daily::multicast(&mut site)?;
    servers::lost_credentials(&mut site)?;
    servers::behind_a_proxy(&mut site)?;
    servers::several_servers(&mut site)?;
    let screen = for_people("pages")?.join("person.txt");
    fs::write(screen, site.person.screen())?;
    Ok(())
}
