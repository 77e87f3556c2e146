//! Unpacks the files of Swagger UI that the page under `/docs` loads, so that the program holds
//! them as they are served.

use std::io::{Cursor, Read as _};
use std::path::Path;
use std::{env, fs};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// Names in the folder `dist` of Swagger UI; `src/api/openapi/pages.rs` serves them.
const FILES: &[&str] = &[
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-32x32.png",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let mut archive = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))
        .expect("the crate carries Swagger UI as a zip archive");
    for file in FILES {
        // The archive has one folder, whose name holds the version.
        let is_wanted =
            |name: &str| name.matches('/').count() == 2 && name.ends_with(&format!("/dist/{file}"));
        let names: Vec<String> = archive
            .file_names()
            .flatten()
            .map(|name| name.into_owned())
            .collect();
        let name = names
            .iter()
            .find(|name| is_wanted(name))
            .unwrap_or_else(|| panic!("Swagger UI's archive has no dist/{file}"));
        let mut contents = Vec::new();
        let mut entry = archive
            .by_name(name)
            .expect("the name was read from the archive");
        entry
            .read_to_end(&mut contents)
            .expect("the archive is whole");
        fs::write(Path::new(&out).join(file), contents).expect("OUT_DIR can be written");
    }
}
