//! Which LR belongs to which HR, decided before anything is written: candidates by their names, chosen by how alike they
//! are, with what is in the workspace as with what comes in, so that the order of adding makes no difference.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::choice::{Candidate, Choice, choose};
use super::compare::Comparer;
use super::likeness::BOUND;
use super::names::{Place, Says};
use super::sides::{File, Here, Side, hr_hash};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::progress::Meter;
use crate::engine::protocol::Role;
use crate::imaging::decode;
use crate::workspace::ImageRow;

/// What is to be done with each file; by index.
#[derive(Debug, Default)]
pub struct Plan {
    /// The HR of LR files.
    pub hr_of: HashMap<usize, Side>,
    /// The images here that get an HR file.
    pub waiting_for: HashMap<usize, Vec<Here>>,
    /// HR files that LR files get.
    pub taken: HashSet<usize>,
    /// Files that are not added, with the cause.
    pub refused: HashMap<usize, String>,
    /// Files that found no partner although there was something to be compared, with the reason.
    pub alone: BTreeMap<usize, String>,
    /// Images here that still wait for their HR although HR files came.
    pub waiting: Vec<String>,
}

/// The files with their roles: the one that is asked for, or what their places say, else HR.
pub fn files(paths: Vec<PathBuf>, role: Option<Role>) -> Vec<File> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let places: Vec<Place> = paths.iter().map(|path| Place::of(&absolute(path))).collect();
    let by_key = by_key(places.iter().map(|place| place.key.as_str()));
    let is_partner = |one: &Place, other: &Place| match other.says {
        None => one.distance(other) < 2,
        Some(says) => says.role() == Role::Hr,
    };
    let is_lr = |place: &Place| match place.says {
        Some(Says::Surely(role)) => role == Role::Lr,
        Some(Says::Perhaps(Role::Lr)) => by_key[place.key.as_str()].iter().any(|&at| is_partner(place, &places[at])),
        _ => false,
    };
    let roles: Vec<Role> =
        places.iter().map(|place| role.unwrap_or(if is_lr(place) { Role::Lr } else { Role::Hr })).collect();
    let size = |path: &PathBuf| decode::probe(path).ok().map(|info| [info.width, info.height]);
    let files = paths.into_iter().zip(places.iter().cloned()).zip(roles);
    files.map(|((path, place), role)| File { size_px: size(&path), path, place, role }).collect()
}

fn by_key<'a>(keys: impl Iterator<Item = &'a str>) -> HashMap<&'a str, Vec<usize>> {
    let mut map: HashMap<&str, Vec<usize>> = HashMap::new();
    keys.enumerate().for_each(|(index, key)| map.entry(key).or_default().push(index));
    map
}

/// Images of the workspace, those of one file together, in the order they were added.
fn here(rows: impl Iterator<Item = ImageRow>, file_of: impl Fn(&ImageRow) -> String) -> Vec<Here> {
    let mut all: Vec<Here> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for row in rows.filter(|row| !row.file_missing) {
        let index = *known.entry(file_of(&row)).or_insert_with(|| {
            let path = std::path::absolute(&row.source).unwrap_or_else(|_| PathBuf::from(&row.source));
            all.push(Here { rows: Vec::new(), place: Place::of(&path) });
            all.len() - 1
        });
        all[index].rows.push(row);
    }
    all
}

/// Decides about all files.
pub fn plan(context: &Context, files: &[File]) -> Result<Plan> {
    let rows = context.workspace()?.ledger().images()?;
    let (with_hr, without): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.hr_path.is_some());
    let waiting = here(without.into_iter(), |row| row.source_hash.clone());
    let with_hr = here(with_hr.into_iter(), |row| hr_hash(row).unwrap_or(&row.source_hash).to_owned());
    let mut planner = Planner {
        context,
        files,
        by_key: by_key(files.iter().map(|file| file.place.key.as_str())),
        with_hr,
        has_lr: !waiting.is_empty() || files.iter().any(|file| file.role == Role::Lr),
        has_hr: files.iter().any(|file| file.role == Role::Hr),
        best_of_hr: HashMap::new(),
        plan: Plan::default(),
    };
    planner.decide(waiting)?;
    Ok(planner.plan)
}

struct Planner<'a> {
    context: &'a Context,
    files: &'a [File],
    by_key: HashMap<&'a str, Vec<usize>>,
    with_hr: Vec<Here>,
    has_lr: bool,
    has_hr: bool,
    /// For HR files: the LR most alike and how alike, `None` where the sizes did not fit.
    best_of_hr: HashMap<usize, (Option<f64>, String)>,
    plan: Plan,
}

/// Of what is compared.
struct Compared {
    side: Side,
    name: String,
    likeness: Option<f64>,
    distance: u8,
}

impl Planner<'_> {
    fn decide(&mut self, waiting: Vec<Here>) -> Result<()> {
        let lr_files = (0..self.files.len()).filter(|&i| self.files[i].role == Role::Lr).map(Side::File);
        let waiting = if self.has_hr { waiting } else { Vec::new() };
        let mut targets: Vec<Side> = lr_files.chain(waiting.into_iter().map(Side::Here)).collect();
        // One key after the other, so that what was looked at of a file is kept no longer than it is needed.
        targets.sort_by(|a, b| self.place(a).key.cmp(&self.place(b).key));
        let mut meter = Meter::new("comparing", "files", targets.len());
        let mut comparer = Comparer::new(self.context, self.files);
        let mut key = String::new();
        for target in targets {
            self.context.checkpoint()?;
            if self.place(&target).key != key {
                comparer.forget();
                key = self.place(&target).key.clone();
            }
            self.decide_one(target, &mut comparer)?;
            self.context.advance(&mut meter, 1);
        }
        self.decide_hr(&mut comparer)
    }

    fn place<'b>(&'b self, side: &'b Side) -> &'b Place {
        match side {
            Side::File(index) => &self.files[*index].place,
            Side::Here(here) => &here.place,
        }
    }

    fn name(&self, side: &Side) -> String {
        match side {
            Side::File(index) => self.files[*index].path.display().to_string(),
            Side::Here(here) => here.rows.first().map(|row| row.source.clone()).unwrap_or_default(),
        }
    }

    /// The HR sides that an LR side may belong to by name, each compared with it.
    fn compared(&mut self, lr: &Side, comparer: &mut Comparer) -> Result<Vec<Compared>> {
        let (place, lr_name) = (self.place(lr).clone(), self.name(lr));
        let files = self.by_key.get(place.key.as_str()).into_iter().flatten().copied();
        let mut sides: Vec<Side> = files.filter(|&i| self.files[i].role == Role::Hr).map(Side::File).collect();
        if let Side::File(_) = lr {
            let here: Vec<&Here> = self.with_hr.iter().filter(|here| here.place.key == place.key).collect();
            // What comes in as a file is not compared as an image here once more.
            let files = if here.is_empty() { &sides[..0] } else { &sides[..] };
            let given: HashSet<String> = files.iter().filter_map(|side| comparer.hash_of(side)).collect();
            let is_new = |here: &&&Here| !here.rows.first().and_then(hr_hash).is_some_and(|hash| given.contains(hash));
            let new: Vec<Side> = here.iter().filter(is_new).map(|here| Side::Here((*here).clone())).collect();
            sides.extend(new);
        }
        let mut all = Vec::with_capacity(sides.len());
        for side in sides {
            self.context.checkpoint()?;
            let likeness = comparer.likeness(lr, &side)?;
            if let Side::File(index) = side {
                let best = self.best_of_hr.entry(index).or_insert_with(|| (likeness, lr_name.clone()));
                if likeness > best.0 {
                    *best = (likeness, lr_name.clone());
                }
            }
            all.push(Compared { name: self.name(&side), distance: place.distance(self.place(&side)), side, likeness });
        }
        Ok(all)
    }

    fn decide_one(&mut self, lr: Side, comparer: &mut Comparer) -> Result<()> {
        let all = self.compared(&lr, comparer)?;
        let (fitting, unfit): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| c.likeness.is_some());
        let candidate = |c: &Compared| Candidate { likeness: c.likeness.unwrap_or(0.0), distance: c.distance };
        let candidates: Vec<Candidate> = fitting.iter().map(candidate).collect();
        let best = match choose(&candidates) {
            Choice::One(one) => {
                self.join(lr, fitting[one].side.clone());
                return Ok(());
            }
            Choice::Several(some) => {
                let hashes: HashSet<_> = some.iter().map(|&i| comparer.hash_of(&fitting[i].side)).collect();
                if hashes.len() == 1 && !hashes.contains(&None) {
                    // Copies of one file: any of them is right.
                    self.join(lr, fitting[some[0]].side.clone());
                } else {
                    self.refuse(&lr, some.iter().map(|&i| &fitting[i]).collect());
                }
                return Ok(());
            }
            Choice::None(best) => best,
        };
        let reason = match (best.map(|i| &fitting[i]), unfit.first()) {
            (Some(best), _) => unlike("HR", &best.name, best.likeness.unwrap_or(0.0)),
            (None, Some(other)) => format!("{} is not 4 times as large, or cannot be read", other.name),
            (None, None) => "no HR of its name".to_owned(),
        };
        match lr {
            Side::File(index) if self.has_hr || best.is_some() || !unfit.is_empty() => {
                self.plan.alone.insert(index, reason);
            }
            Side::Here(_) => self.plan.waiting.push(format!("{}: {reason}", self.name(&lr))),
            Side::File(_) => {}
        }
        Ok(())
    }

    fn join(&mut self, lr: Side, hr: Side) {
        match (lr, hr) {
            (Side::File(lr), hr) => {
                if let Side::File(hr) = hr {
                    self.plan.taken.insert(hr);
                }
                self.plan.hr_of.insert(lr, hr);
            }
            (Side::Here(lr), Side::File(hr)) => self.plan.waiting_for.entry(hr).or_default().push(lr),
            // Both are here: not compared, as nothing of it comes in.
            (Side::Here(_), Side::Here(_)) => {}
        }
    }

    fn refuse(&mut self, lr: &Side, rivals: Vec<&Compared>) {
        let names: Vec<String> = rivals.iter().map(|c| c.name.clone()).collect();
        let lr_name = self.name(lr);
        let cause = format!("{} resemble it equally; give the pair in a list (--pairs)", names.join(" and "));
        match lr {
            Side::File(index) => drop(self.plan.refused.insert(*index, cause)),
            Side::Here(_) => self.plan.waiting.push(format!("{lr_name}: {cause}")),
        }
        for rival in rivals {
            if let Side::File(index) = rival.side {
                let others: Vec<&String> = names.iter().filter(|name| **name != rival.name).collect();
                let others = others.into_iter().cloned().collect::<Vec<_>>().join(" and ");
                self.plan
                    .refused
                    .insert(index, format!("{lr_name} resembles {others} as much; give the pair in a list (--pairs)"));
            }
        }
    }

    /// HR files that no LR got: why, and those that belong to an LR image which has another HR.
    fn decide_hr(&mut self, comparer: &mut Comparer) -> Result<()> {
        for index in 0..self.files.len() {
            let file = &self.files[index];
            let is_used = self.plan.taken.contains(&index) || self.plan.waiting_for.contains_key(&index);
            if file.role != Role::Hr || is_used {
                // Refused for one LR, but the HR of another.
                if is_used {
                    self.plan.refused.remove(&index);
                }
                continue;
            }
            if let Some(row) = self.image_of_another_hr(index, comparer)? {
                let cause = format!("its LR image {} has another HR; remove that image to give it this one", row.name);
                self.plan.refused.insert(index, cause);
            } else if self.has_lr {
                let reason = match self.best_of_hr.get(&index) {
                    None => "no LR of its name".to_owned(),
                    Some((None, name)) => format!("it is not 4 times as large as {name}"),
                    Some((Some(likeness), name)) if *likeness >= BOUND => format!("{name} resembles another one more"),
                    Some((Some(likeness), name)) => unlike("LR", name, *likeness),
                };
                self.plan.alone.insert(index, reason);
            }
        }
        Ok(())
    }

    /// An image here whose LR was given, and is of this HR file, but which has the HR of another file.
    fn image_of_another_hr(&self, index: usize, comparer: &mut Comparer) -> Result<Option<ImageRow>> {
        let key = &self.files[index].place.key;
        let others = self.with_hr.iter().filter(|here| here.place.key == *key);
        for here in others.filter(|here| here.rows.iter().all(|row| row.degradation.is_none())) {
            let hr = Side::File(index);
            let is_same = comparer.hash_of(&hr).as_deref() == here.rows.first().and_then(hr_hash);
            if !is_same && comparer.likeness(&Side::Here(here.clone()), &hr)?.is_some_and(|l| l >= BOUND) {
                return Ok(here.rows.first().cloned());
            }
        }
        Ok(None)
    }
}

fn unlike(what: &str, name: &str, likeness: f64) -> String {
    format!("no {what} resembles it: {name} does by {likeness:.2}, where {BOUND:.2} are needed")
}
