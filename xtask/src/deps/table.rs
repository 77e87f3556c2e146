//! Tables of ARCHITECTURE.md.

/// The rows of each table whose heading begins with `heading`, cell by cell; the heading row comes
/// first.
pub(super) fn tables(page: &str, heading: &str) -> Vec<Vec<Vec<String>>> {
    let mut found: Vec<Vec<Vec<String>>> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with(heading) {
            found.push(Vec::new());
            inside = true;
        }
        inside &= line.starts_with('|');
        let rule = line.starts_with("| ---");
        if let Some(table) = found.last_mut().filter(|_| inside && !rule) {
            table.push(
                line.trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().to_owned())
                    .collect(),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_end_where_their_rows_do() {
        let page = "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n| c |\n| --- |\n| 9 |\n\n| a |\n| --- |\n| 3 |\ntext\n| 4 |\n";
        assert_eq!(
            tables(page, "| a "),
            [
                vec![vec!["a", "b"], vec!["1", "2"]],
                vec![vec!["a"], vec!["3"]]
            ]
        );
    }
}
