//! Lets go of what is in memory of the program's own file: code, dictionaries, pages and models that are read once,
//! at the start or for an import. The system takes such pages back only when it needs room; what is used again comes from
//! its cache of files.

/// Gives back all that is as it is in the file.
#[cfg(target_os = "linux")]
pub fn give_back() {
    match mapped() {
        Ok(ranges) => ranges.into_iter().for_each(let_go),
        Err(error) => tracing::debug!(%error, "what is mapped cannot be read; nothing of it is given back"),
    }
}

/// Elsewhere nobody says what is mapped.
#[cfg(not(target_os = "linux"))]
pub fn give_back() {}

#[cfg(target_os = "linux")]
fn mapped() -> std::io::Result<Vec<std::ops::Range<usize>>> {
    let own = std::fs::read_link("/proc/self/exe")?;
    Ok(as_in_the_file(&std::fs::read_to_string("/proc/self/smaps")?, &own.to_string_lossy()))
}

#[cfg(target_os = "linux")]
fn let_go(range: std::ops::Range<usize>) {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a whole mapping of the program's file that nobody may write to and that has no page of its own
    // (`as_in_the_file`), and nothing makes a mapping of the program writable once `main` runs. So each page holds what the
    // file does, which it holds again as soon as it is touched; to those who hold references into it nothing changes.
    if let Err(error) = unsafe { rustix::mm::madvise(start, range.len(), rustix::mm::Advice::LinuxDontNeed) } {
        tracing::debug!(%error, "a mapping of the program's file is kept in memory");
    }
}

/// The private, read-only mappings of `file` in what Linux tells of a process (`smaps`), of which no page differs from
/// the file: the loader writes addresses into some and then forbids writing, and what it wrote would be lost.
#[cfg(any(target_os = "linux", test))]
fn as_in_the_file(smaps: &str, file: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some((range, rest)) = begins(line) {
            mapping = is_of(rest, file).then_some(range);
        } else if line.split_whitespace().eq(["Anonymous:", "0", "kB"]) {
            found.extend(mapping.take());
        }
    }
    found
}

/// `55d0c8a00000-55d0c8b00000 r-xp 00000000 fe:00 1234   /a/file` → its addresses, and what is behind them.
#[cfg(any(target_os = "linux", test))]
fn begins(line: &str) -> Option<(std::ops::Range<usize>, &str)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?..address(end)?, rest))
}

/// Whether it is a mapping of `file` that is read, not written and not shared.
#[cfg(any(target_os = "linux", test))]
fn is_of(rest: &str, file: &str) -> bool {
    let may = rest.as_bytes();
    let path = rest.splitn(5, ' ').nth(4).map(str::trim_start);
    matches!(may, [b'r', b'-', _, b'p', ..]) && path == Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c8a00000-55d0c8b00000 r--p 00000000 fe:00 1234                       /opt/merchant copilot
Rss:                 100 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
55d0c8b00000-55d0c8f00000 r-xp 00100000 fe:00 1234                       /opt/merchant copilot
Anonymous:             0 kB
55d0c8f00000-55d0c9000000 r--p 00500000 fe:00 1234                       /opt/merchant copilot
Anonymous:           800 kB
55d0c9000000-55d0c9010000 rw-p 00600000 fe:00 1234                       /opt/merchant copilot
Anonymous:             0 kB
55d0c9010000-55d0c9020000 r--s 00600000 fe:00 1234                       /opt/merchant copilot
Anonymous:             0 kB
55d0c9020000-55d0c9030000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 99                         /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00000000 fe:00 99                         /opt/merchant copilot
Rss:                   0 kB
7ffc00000000-7ffc00021000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_in_the_file_is_let_go() {
        let found = as_in_the_file(SMAPS, "/opt/merchant copilot");
        assert_eq!(found, [0x55d0_c8a0_0000..0x55d0_c8b0_0000, 0x55d0_c8b0_0000..0x55d0_c8f0_0000]);
        assert!(as_in_the_file(SMAPS, "/opt/merchant").is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_program_goes_on_afterwards() {
        let own = mapped().unwrap();
        assert!(own.iter().map(ExactSizeIterator::len).sum::<usize>() > 1 << 20, "its code is found: {own:?}");
        give_back();
        assert_eq!(as_in_the_file(SMAPS, "/usr/lib/libc.so.6").len(), 1);
    }
}
