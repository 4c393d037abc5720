//! How much memory this process may still take: what a plan is held against before the work begins.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that can still be allocated: the least of what the machine has free, what the container (cgroup) leaves and
/// what the process's own limits (`ulimit -v`, `-d`) leave. `None` where the system does not tell (not Linux). A figure
/// of this moment, for refusing what cannot fit; other processes take memory too.
pub fn available_bytes() -> Option<u64> {
    // What is kept for the next step is free.
    // SAFETY: gives back memory that nothing uses.
    unsafe { libmimalloc_sys::mi_collect(true) }
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kib(&text, "MemAvailable:"));
    machine.into_iter().chain(process_leaves()).chain(cgroup_leaves(Path::new("/sys/fs/cgroup"))).min()
}

/// The number after `key` in a table of kB such as `/proc/meminfo`, in bytes.
fn kib(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the limits of address space and of data leave, each where it is set.
fn process_leaves() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let leaves = |limit: &str, used: &str| {
        let row = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        let soft = row.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(soft.saturating_sub(kib(&status, used)?))
    };
    let leaves = [leaves("Max address space", "VmSize:"), leaves("Max data size", "VmData:")];
    leaves.into_iter().flatten().min()
}

/// What the group of this process, and those that hold it, leave; `mounted` is where groups are.
fn cgroup_leaves(mounted: &Path) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(|line| group_leaves(mounted, line)).min()
}

/// What one line of `/proc/self/cgroup` (`id:controllers:path`) leaves: the least along its path.
fn group_leaves(mounted: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?);
    let unified = controllers.is_empty();
    if !unified && !controllers.split(',').any(|name| name == "memory") {
        return None;
    }
    // In a container the path is that of the host, and the mount is the group itself: parents of what is not there are.
    let root: PathBuf = if unified { mounted.to_owned() } else { mounted.join("memory") };
    let folder = root.join(group.trim_start_matches('/'));
    let names = if unified {
        ("memory.max", "memory.current", "inactive_file ")
    } else {
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
    };
    folder.ancestors().take_while(|at| at.starts_with(&root)).filter_map(|at| leaves(at, names)).min()
}

/// Limit less use of the group in a folder; what the system can drop at once, the cache of files, counts as free.
fn leaves(folder: &Path, (limit, used, cache): (&str, &str, &str)) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok());
    let used = number(used)?.saturating_sub(cached.unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_leaves_its_limit_less_its_use_and_a_parent_may_leave_less() {
        let mounted = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = mounted.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/memory.max", "1000\n");
        write("a/memory.current", "900\n");
        write("a/memory.stat", "anon 600\ninactive_file 250\n");
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "700\n");
        assert_eq!(group_leaves(mounted.path(), "0::/a/b"), Some(350));
        write("a/b/memory.max", "800\n");
        assert_eq!(group_leaves(mounted.path(), "0::/a/b"), Some(100));
        assert_eq!(group_leaves(mounted.path(), "0::/elsewhere"), None);
        write("memory/old/memory.limit_in_bytes", "500");
        write("memory/old/memory.usage_in_bytes", "200");
        assert_eq!(group_leaves(mounted.path(), "4:cpu,memory:/old"), Some(300));
        assert_eq!(group_leaves(mounted.path(), "4:cpu:/old"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_tells() {
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
