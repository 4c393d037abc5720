//! An interpreter of pickles that builds data and does nothing else.
//!
//! A pickle is a program for a stack machine that may call anything by name. Here a call makes a node that says what was
//! called with what; the names allowed are those of tensors and plain containers, any other is refused by its name before
//! anything is made of it. Depth, memory and size are bounded, so that no file, however made, takes more than it has.

/// Nodes that are made at most.
const MAX_NODES: usize = 4 << 20;
/// Values on the stack, and in the memo, at most.
const MAX_STACK: usize = 4 << 20;

/// A value. Containers are nodes, so that one that is changed later is seen changed wherever it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(usize),
}

/// What a value is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Text(String),
    /// Bytes, and whole numbers beyond 64 bits.
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A name of Python: module and attribute.
    Global(String, String),
    /// What the file keeps outside of the pickle, by its id.
    Persistent(Value),
    /// The result of a call that is not made: callee, arguments, the state it was given, the items that were put into it.
    Made {
        callee: Value,
        arguments: Value,
        state: Option<Value>,
        items: Vec<(Value, Value)>,
    },
}

/// What a pickle holds.
#[derive(Debug)]
pub struct Pickled {
    pub nodes: Vec<Node>,
    pub top: Value,
    /// Bytes of the pickle.
    pub len: usize,
}

impl Pickled {
    /// The node of a value.
    pub fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    /// The text of a value.
    pub fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a tuple or list.
    pub fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// Module and attribute of a global.
    pub fn global(&self, value: Value) -> Option<(&str, &str)> {
        match self.node(value)? {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }
}

/// Reads the pickle that bytes begin with. `allows` says which names of Python it may hold. Errors in words.
pub fn read(bytes: &[u8], allows: impl Fn(&str, &str) -> bool) -> Result<Pickled, String> {
    let mut machine =
        Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let top = machine.run(&allows)?;
    Ok(Pickled { nodes: machine.nodes, top, len: machine.at })
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Value>,
    /// Heights of the stack that were marked.
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
}

impl Machine<'_> {
    fn run(&mut self, allows: &dyn Fn(&str, &str) -> bool) -> Result<Value, String> {
        loop {
            let [op] = self.array()?;
            match op {
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'2' => {
                    let top = *self.stack.last().ok_or_else(empty)?;
                    self.push(top)?;
                }
                b'N' => self.push(Value::None)?,
                0x88 | 0x89 => self.push(Value::Bool(op == 0x88))?,
                b'K' => {
                    let [n] = self.array()?;
                    self.push(Value::Int(n.into()))?;
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(n.into()))?;
                }
                b'J' => {
                    let n = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(n.into()))?;
                }
                b'G' => {
                    let n = f64::from_be_bytes(self.array()?);
                    self.push(Value::Float(n))?;
                }
                b'I' | b'L' => self.decimal()?,
                b'F' => {
                    let n = self.line()?.parse().map_err(|_| "a number that is none")?;
                    self.push(Value::Float(n))?;
                }
                0x8a => {
                    let [len] = self.array()?;
                    self.long(len.into())?;
                }
                0x8b => {
                    let len = self.len4()?;
                    self.long(len)?;
                }
                b'X' => {
                    let len = self.len4()?;
                    self.text(len)?;
                }
                0x8c => {
                    let [len] = self.array()?;
                    self.text(len.into())?;
                }
                0x8d => {
                    let len = self.len8()?;
                    self.text(len)?;
                }
                b'V' | b'S' => {
                    let line = self.line()?;
                    let text = line.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
                    let text = if op == b'S' { text.unwrap_or(line) } else { line }.to_owned();
                    self.make(Node::Text(text))?;
                }
                // Text of Python 2.
                b'T' | b'U' => {
                    let len = if op == b'T' { self.len4()? } else { usize::from(self.array::<1>()?[0]) };
                    let bytes = self.take(len)?;
                    let node = match std::str::from_utf8(bytes) {
                        Ok(text) => Node::Text(text.into()),
                        Err(_) => Node::Bytes(bytes.into()),
                    };
                    self.make(node)?;
                }
                b'B' | b'C' | 0x8e | 0x96 => {
                    let len = match op {
                        b'B' => self.len4()?,
                        b'C' => usize::from(self.array::<1>()?[0]),
                        _ => self.len8()?,
                    };
                    let bytes = self.take(len)?.to_vec();
                    self.make(Node::Bytes(bytes))?;
                }
                b')' => self.make(Node::Tuple(Vec::new()))?,
                b']' | 0x8f => self.make(Node::List(Vec::new()))?,
                b'}' => self.make(Node::Dict(Vec::new()))?,
                b't' | b'l' | 0x91 => {
                    let items = self.marked()?;
                    self.make(if op == b't' { Node::Tuple(items) } else { Node::List(items) })?;
                }
                b'd' => {
                    let items = pairs(self.marked()?)?;
                    self.make(Node::Dict(items))?;
                }
                0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(op - 0x84)).ok_or_else(empty)?;
                    self.above_mark(from)?;
                    let items = self.stack.split_off(from);
                    self.make(Node::Tuple(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![(key, value)])?;
                }
                b'u' => {
                    let items = pairs(self.marked()?)?;
                    self.set(items)?;
                }
                b'c' => {
                    let module = self.line()?.to_owned();
                    let name = self.line()?.to_owned();
                    self.global(module, name, allows)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |value| match value {
                        Value::Node(at) => match &self.nodes[at] {
                            Node::Text(text) => Ok(text.clone()),
                            _ => Err("a name that is no text"),
                        },
                        _ => Err("a name that is no text"),
                    };
                    let (module, name) = (text(module)?, text(name)?);
                    self.global(module, name, allows)?;
                }
                b'R' | 0x81 => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    self.call(callee, arguments)?;
                }
                0x92 => {
                    let (_, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(callee, arguments)?;
                }
                b'b' => {
                    let given = self.pop()?;
                    match self.top_node()? {
                        Node::Made { state, .. } => *state = Some(given),
                        // State of a container, such as the attributes of an ordered dictionary.
                        Node::Dict(_) | Node::List(_) => {}
                        _ => return Err("state for what has none".into()),
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.make(Node::Persistent(id))?;
                }
                b'q' => {
                    let [at] = self.array()?;
                    self.memoize(at.into())?;
                }
                b'r' => {
                    let at = self.len4()?;
                    self.memoize(at)?;
                }
                b'p' => {
                    let at = self.line()?.parse().map_err(|_| "a memo that is no number")?;
                    self.memoize(at)?;
                }
                0x94 => self.memoize(self.memo.len())?,
                b'h' | b'j' | b'g' => {
                    let at = match op {
                        b'h' => usize::from(self.array::<1>()?[0]),
                        b'j' => self.len4()?,
                        _ => self.line()?.parse().map_err(|_| "a memo that is no number")?,
                    };
                    let value = self.memo.get(at).copied().flatten().ok_or("a memo that was not written")?;
                    self.push(value)?;
                }
                0x80 => {
                    let [version] = self.array()?;
                    if version > 5 {
                        return Err(format!("a pickle of version {version}"));
                    }
                }
                0x95 => drop(self.array::<8>()?),
                other => return Err(format!("the instruction {other:#04x} of the pickle, which weights do not need")),
            }
        }
    }

    fn global(&mut self, module: String, name: String, allows: &dyn Fn(&str, &str) -> bool) -> Result<(), String> {
        if !allows(&module, &name) {
            let (module, name) = (module.escape_debug(), name.escape_debug());
            return Err(format!(
                "it holds an object of {module}.{name}, which is not weights; save its state_dict alone"
            ));
        }
        self.make(Node::Global(module, name))
    }

    fn call(&mut self, callee: Value, arguments: Value) -> Result<(), String> {
        let Value::Node(at) = callee else { return Err("a call of what is no name".into()) };
        let node = match &self.nodes[at] {
            Node::Global(module, name) if module == "collections" && name == "OrderedDict" => {
                // With items as its argument where torch before 1.0 wrote it.
                match arguments {
                    Value::Node(at) if matches!(&self.nodes[at], Node::Tuple(items) if items.is_empty()) => {
                        Node::Dict(Vec::new())
                    }
                    Value::Node(at) => Node::Dict(self.items_of(at)?),
                    _ => return Err("a dictionary of what is no list".into()),
                }
            }
            Node::Global(..) => Node::Made { callee, arguments, state: None, items: Vec::new() },
            _ => return Err("a call of what is no name".into()),
        };
        self.make(node)
    }

    /// The pairs in the first argument of a call.
    fn items_of(&self, arguments: usize) -> Result<Vec<(Value, Value)>, String> {
        let list = |value: &Value| match value {
            Value::Node(at) => match &self.nodes[*at] {
                Node::Tuple(items) | Node::List(items) => Some(items.as_slice()),
                _ => None,
            },
            _ => None,
        };
        let items = list(&Value::Node(arguments)).and_then(|arguments| list(arguments.first()?));
        let pair = |value: &Value| match list(value) {
            Some([key, value]) => Ok((*key, *value)),
            _ => Err("a dictionary of what are no pairs".to_owned()),
        };
        items.ok_or("a dictionary of what is no list")?.iter().map(pair).collect()
    }

    fn append(&mut self, mut new: Vec<Value>) -> Result<(), String> {
        match self.top_node()? {
            Node::List(items) => items.append(&mut new),
            Node::Made { items, .. } => items.extend(new.into_iter().map(|item| (Value::None, item))),
            _ => return Err("items for what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, mut new: Vec<(Value, Value)>) -> Result<(), String> {
        match self.top_node()? {
            Node::Dict(items) | Node::Made { items, .. } => items.append(&mut new),
            _ => return Err("entries for what is no dictionary".into()),
        }
        Ok(())
    }

    fn decimal(&mut self) -> Result<(), String> {
        let value = match self.line()? {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            line => Value::Int(line.trim_end_matches('L').parse().map_err(|_| "a number that is none")?),
        };
        self.push(value)
    }

    /// A whole number of `len` little-endian bytes.
    fn long(&mut self, len: usize) -> Result<(), String> {
        let bytes = self.take(len)?;
        if len > 8 {
            let bytes = bytes.to_vec();
            return self.make(Node::Bytes(bytes));
        }
        let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
        let mut all = [fill; 8];
        all[..len].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(all)))
    }

    fn text(&mut self, len: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "text that is not UTF-8")?.to_owned();
        self.make(Node::Text(text))
    }

    fn memoize(&mut self, at: usize) -> Result<(), String> {
        let value = *self.stack.last().ok_or_else(empty)?;
        if at >= MAX_STACK || at > 2 * self.bytes.len() {
            return Err("a memo beyond bounds".into());
        }
        if at >= self.memo.len() {
            self.memo.resize(at + 1, None);
        }
        self.memo[at] = Some(value);
        Ok(())
    }

    fn make(&mut self, node: Node) -> Result<(), String> {
        if self.nodes.len() >= MAX_NODES {
            return Err("more objects than weights have".into());
        }
        self.nodes.push(node);
        self.push(Value::Node(self.nodes.len() - 1))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.stack.len() >= MAX_STACK {
            return Err("a stack beyond bounds".into());
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.above_mark(self.stack.len().checked_sub(1).ok_or_else(empty)?)?;
        self.stack.pop().ok_or_else(empty)
    }

    /// What lies below the last mark is not taken but by taking the mark.
    fn above_mark(&self, height: usize) -> Result<(), String> {
        if self.marks.last().is_some_and(|mark| *mark > height) { Err(empty()) } else { Ok(()) }
    }

    /// The values above the last mark, which is taken off.
    fn marked(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("a mark that was not set")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top_node(&mut self) -> Result<&mut Node, String> {
        match self.stack.last() {
            Some(Value::Node(at)) => self.nodes.get_mut(*at).ok_or_else(empty),
            _ => Err("what is no container is filled".into()),
        }
    }

    fn take(&mut self, len: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or("its pickle is truncated")?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "its pickle is truncated".into())
    }

    fn len4(&mut self) -> Result<usize, String> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| "a length beyond bounds".into())
    }

    fn len8(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "a length beyond bounds".into())
    }

    fn line(&mut self) -> Result<&str, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("its pickle is truncated")?;
        let line = std::str::from_utf8(&rest[..len]).map_err(|_| "text that is not UTF-8")?;
        self.at += len + 1;
        Ok(line)
    }
}

fn pairs(items: Vec<Value>) -> Result<Vec<(Value, Value)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    match rest {
        [] => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("a dictionary with a key without a value".into()),
    }
}

fn empty() -> String {
    "a value is taken from an empty stack".into()
}
