//! Programs on a pseudo-terminal (`script` of util-linux), and what is on its screen in the end.

use std::process::Command;

/// Columns and rows of every terminal here.
pub const SIZE: (usize, usize) = (120, 40);

/// The same command on a terminal of [`SIZE`]; its output is what the terminal was sent.
#[must_use]
pub fn on_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    let (columns, rows) = SIZE;
    let line = format!("stty cols {columns} rows {rows}; exec {}", words.join(" "));
    let mut wrapped = Command::new("script");
    // Quiet, with the status of the command, written at once.
    wrapped.args(["-qefc", &line, "/dev/null"]);
    wrapped
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm-256color");
    wrapped.env_remove("NO_COLOR");
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The lines that a terminal shows after it was sent `output`, without empty ones at the end. It
/// knows what our programs use: cursor movements, deletion, and colours, which it drops.
#[must_use]
pub fn shown(output: &str) -> Vec<String> {
    let mut screen = Screen::default();
    let mut rest = output.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\r' => screen.column = 0,
            '\n' => screen.line_feed(),
            '\u{8}' => screen.column = screen.column.saturating_sub(1),
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                let mut number = String::new();
                while let Some(digit) = rest.next_if(|c| c.is_ascii_digit() || ";?".contains(*c)) {
                    number.push(digit);
                }
                screen.control(rest.next().unwrap_or(' '), &number);
            }
            '\u{1b}' => drop(rest.next()),
            character if character.is_control() => {}
            character => screen.put(character),
        }
    }
    screen.lines()
}

#[derive(Default)]
struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn line(&mut self) -> &mut Vec<char> {
        if self.cells.len() <= self.row {
            self.cells.resize(self.row + 1, Vec::new());
        }
        &mut self.cells[self.row]
    }

    fn line_feed(&mut self) {
        self.line();
        self.row += 1;
    }

    fn put(&mut self, character: char) {
        if self.column >= SIZE.0 {
            self.line_feed();
            self.column = 0;
        }
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = character;
        self.column += 1;
    }

    fn control(&mut self, what: char, number: &str) {
        let count = number.parse().unwrap_or(1);
        let column = self.column;
        match (what, number) {
            ('A', _) => self.row = self.row.saturating_sub(count),
            ('B', _) => self.row += count,
            ('C', _) => self.column += count,
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('G', _) => self.column = count.saturating_sub(1),
            ('K', "2") => self.line().clear(),
            ('K', _) => self.line().truncate(column),
            ('J', _) => {
                self.line().truncate(column);
                self.cells.truncate(self.row + 1);
            }
            _ => {}
        }
    }

    fn lines(self) -> Vec<String> {
        let text = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        let mut lines: Vec<String> = self.cells.iter().map(text).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_drawn_again_is_there_once() {
        let output = "\u{1b}[32mone\u{1b}[0m\r\n\r\u{1b}[2K## 50 %\r\u{1b}[2K#### 100 %\r\n\
            \u{1b}[1A\r\u{1b}[2Kabove\r\n#### 100 %\r\nlast\r\n";
        assert_eq!(shown(output), ["one", "above", "#### 100 %", "last"]);
    }

    #[test]
    fn words_of_a_shell_are_kept_together() {
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
