"use strict";
// The traffic graph: asks the API, lays nodes out in layers from left to right, draws them as SVG.
// Whatever comes from the cluster is written as text, never as markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const NODE = { width: 168, height: 52, layerGap: 190, rowGap: 34 };
  const LOCK = "M3 6V4a3 3 0 0 1 6 0v2h1v7H2V6zm1.3 0h3.4V4a1.7 1.7 0 0 0-3.4 0z";
  const FAILING_PERCENT = 20;
  const DEGRADED_PERCENT = 0.1;
  const $ = (id) => document.getElementById(id);

  // The page is served below web_root, and that perhaps below a proxy's path.
  const webRoot = document.documentElement.dataset.webRoot;
  const path = location.pathname;
  const base = path.slice(0, (webRoot ? path.lastIndexOf(webRoot) : 0) + webRoot.length);
  const state = { namespaces: new Set(), chosen: null, graph: null, timer: 0, view: null, moved: false, asked: 0, control: new Set() };

  function make(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function html(name, text = "", className = "") {
    const element = document.createElement(name);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  async function api(target) {
    const response = await fetch(base + "/api/" + target, { headers: { Accept: "application/json" } });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(body.error || body.message || "HTTP status " + response.status);
    return body;
  }

  // What the figures say

  const number = (text) => Number.parseFloat(text || "0");
  const protocolOf = (edge) => edge.traffic.protocol || "http";
  const rateOf = (edge) => number((edge.traffic.rates || {})[protocolOf(edge)]);
  const errorsOf = (edge) => number((edge.traffic.rates || {})[protocolOf(edge) + "PercentErr"]);

  function healthOf(edge) {
    if (rateOf(edge) <= 0) return "idle";
    if (protocolOf(edge) === "tcp") return "tcp";
    const failed = errorsOf(edge);
    return failed >= FAILING_PERCENT ? "failing" : failed >= DEGRADED_PERCENT ? "degraded" : "healthy";
  }

  function amount(value, protocol) {
    if (protocol !== "tcp") return (value >= 10 ? value.toFixed(0) : value.toPrecision(2)) + " rps";
    for (const unit of ["B/s", "kB/s", "MB/s"]) {
      if (value < 1000 || unit === "MB/s") return (value >= 10 ? value.toFixed(0) : value.toPrecision(2)) + " " + unit;
      value /= 1000;
    }
    return "";
  }

  function nameOf(node) {
    if (node.nodeType === "service") return node.service;
    if (node.nodeType === "app") return node.app + (node.version ? " " + node.version : "");
    return node.workload || "unknown";
  }

  function whereOf(node) {
    if (node.nodeType === "unknown") return "outside of the mesh";
    if (node.nodeType === "service" && node.namespace === "unknown") return "asked for by this name";
    const gateway = node.isGateway ? "gateway, " : "";
    return gateway + (node.nodeType === "service" ? "service, " : "") + node.namespace;
  }

  function worstOf(node, edges) {
    const order = ["failing", "degraded", "healthy", "tcp", "idle"];
    const near = edges.filter((edge) => edge.target === node.id).map(healthOf);
    return order.find((health) => near.includes(health)) || "idle";
  }

  // Layout

  function layers(nodes, edges) {
    const out = new Map(nodes.map((node) => [node.id, []]));
    for (const edge of edges) if (edge.source !== edge.target) out.get(edge.source).push(edge.target);
    const state = new Map();
    const order = [];
    const back = new Set();
    const visit = (id) => {
      state.set(id, 1);
      for (const next of out.get(id)) {
        if (state.get(next) === 1) back.add(id + " " + next);
        else if (!state.has(next)) visit(next);
      }
      state.set(id, 2);
      order.unshift(id);
    };
    const roots = nodes.filter((node) => node.isRoot);
    for (const node of [...roots, ...nodes]) if (!state.has(node.id)) visit(node.id);
    const rank = new Map(nodes.map((node) => [node.id, 0]));
    for (const id of order) {
      for (const next of out.get(id)) {
        if (!back.has(id + " " + next)) rank.set(next, Math.max(rank.get(next), rank.get(id) + 1));
      }
    }
    const found = [];
    for (const node of nodes) (found[rank.get(node.id)] ||= []).push(node);
    return found;
  }

  function layout(nodes, edges) {
    const columns = layers(nodes, edges);
    const row = new Map();
    const number = () => columns.forEach((column) => column.forEach((node, index) => row.set(node.id, index - (column.length - 1) / 2)));
    const near = new Map(nodes.map((node) => [node.id, []]));
    for (const edge of edges) {
      near.get(edge.source).push(edge.target);
      near.get(edge.target).push(edge.source);
    }
    number();
    for (let sweep = 0; sweep < 8; sweep += 1) {
      for (const column of sweep % 2 ? [...columns].reverse() : columns) {
        const wish = new Map(column.map((node) => {
          const rows = near.get(node.id).map((id) => row.get(id));
          return [node.id, rows.length ? rows.reduce((sum, value) => sum + value, 0) / rows.length : row.get(node.id)];
        }));
        column.sort((one, other) => wish.get(one.id) - wish.get(other.id) || nameOf(one).localeCompare(nameOf(other)));
        number();
      }
    }
    const places = new Map();
    columns.forEach((column, depth) => column.forEach((node) => places.set(node.id, {
      x: depth * (NODE.width + NODE.layerGap),
      y: row.get(node.id) * (NODE.height + NODE.rowGap),
    })));
    return places;
  }

  function way(from, to, shift) {
    const { width, height } = NODE;
    if (from === to) {
      const x = from.x + width / 2;
      return { d: `M${x - 26} ${from.y}C${x - 40} ${from.y - 60} ${x + 40} ${from.y - 60} ${x + 26} ${from.y - 1}`, x, y: from.y - 45 };
    }
    const forward = to.x > from.x;
    const x1 = forward ? from.x + width : from.x;
    const x2 = forward ? to.x - 1 : to.x + width + 1;
    const y1 = from.y + height / 2 + shift;
    const y2 = to.y + height / 2 + shift;
    const bend = forward ? Math.max((x2 - x1) / 2, 60) : -140;
    // A way back swings below what it passes.
    const drop = forward ? 0 : height + 30;
    const [c1, c2] = [{ x: x1 + bend, y: y1 + drop }, { x: x2 - bend, y: y2 + drop }];
    const at = (a, b, c, d) => (a + 3 * b + 3 * c + d) / 8;
    return { d: `M${x1} ${y1}C${c1.x} ${c1.y} ${c2.x} ${c2.y} ${x2} ${y2}`, x: at(x1, c1.x, c2.x, x2), y: at(y1, c1.y, c2.y, y2) };
  }

  // Drawing

  function choosable(element, kind, data, words) {
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", words);
    element.dataset.id = data.id;
    const choose = () => { state.chosen = { kind, id: data.id }; mark(); describe(); };
    element.addEventListener("click", () => { if (!state.moved) choose(); });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
    });
    return element;
  }

  function drawEdge(edge, nodes, places, shift) {
    const health = healthOf(edge);
    const protocol = protocolOf(edge);
    const rate = rateOf(edge);
    const line = way(places.get(edge.source), places.get(edge.target), shift);
    const group = make("g", { class: "edge " + health });
    const volume = protocol === "tcp" ? rate / 1000 : rate;
    group.style.setProperty("--width", Math.min(2 + Math.log10(1 + volume), 5).toFixed(2) + "px");
    group.style.setProperty("--pace", Math.max(0.35, 1.6 - Math.log10(1 + volume) * 0.5).toFixed(2) + "s");
    group.append(make("path", { class: "reach", d: line.d }), make("path", { class: "line", d: line.d, "marker-end": `url(#arrow-${health})` }));
    if (rate > 0) group.append(make("path", { class: "flow", d: line.d }));
    const failed = errorsOf(edge);
    const text = rate > 0 ? amount(rate, protocol) + (failed > 0 ? "  " + failed.toFixed(failed < 10 ? 1 : 0) + " % err" : "") : "idle";
    const secure = number(edge.isMTLS) > 0;
    const width = text.length * 6.6 + (secure ? 34 : 16);
    const label = make("g", { class: "label " + health, "aria-hidden": "true", transform: `translate(${line.x - width / 2} ${line.y - 11})` },
      make("rect", { width, height: 22, rx: 11 }));
    if (secure) label.append(make("path", { class: "lock-path", d: LOCK, transform: "translate(9 3.5)" }));
    const words = make("text", { x: secure ? 26 : 8, y: 11.5 });
    words.textContent = text;
    label.append(words);
    label.dataset.id = edge.id;
    label.addEventListener("click", () => group.dispatchEvent(new Event("click")));
    const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
    const spoken = `${nameOf(source)} to ${nameOf(target)}: ${text}${secure ? ", mutual TLS" : ""}`;
    return { line: choosable(group, "edge", edge, spoken), label };
  }

  function short(text, longest) {
    return text.length > longest ? text.slice(0, longest - 1) + "\u2026" : text;
  }

  function drawNode(node, edges, place) {
    const { width, height } = NODE;
    const kind = node.nodeType === "unknown" ? " unknown" : node.isOutside ? " outside" : "";
    const group = make("g", { class: "node " + worstOf(node, edges) + kind, transform: `translate(${place.x} ${place.y})` });
    const round = { workload: 8, app: 8, service: 26, unknown: 26 }[node.nodeType] || 8;
    group.append(make("rect", { class: "shape", width, height, rx: round }));
    if (round < 20) group.append(make("rect", { class: "bar", x: 7, y: 11, width: 4, height: height - 22, rx: 2 }));
    const name = make("text", { class: "name", x: 20, y: 23 });
    name.textContent = short(nameOf(node), 17);
    const where = make("text", { class: "where", x: 20, y: 40 });
    where.textContent = short(whereOf(node) + (node.isOutOfMesh ? ", no sidecar" : ""), 25);
    const title = make("title");
    title.textContent = `${nameOf(node)} (${whereOf(node)})`;
    group.append(name, where, title);
    return choosable(group, "node", node, `${nameOf(node)}, ${whereOf(node)}`);
  }

  function drawBox(box, nodes, places) {
    const inside = nodes.filter((node) => node.parent === box.id).map((node) => places.get(node.id));
    if (!inside.length) return null;
    const [x, y] = [Math.min(...inside.map((p) => p.x)) - 12, Math.min(...inside.map((p) => p.y)) - 24];
    const right = Math.max(...inside.map((p) => p.x)) + NODE.width + 12;
    const below = Math.max(...inside.map((p) => p.y)) + NODE.height + 12;
    const text = make("text", { x: x + 12, y: y + 16 });
    text.textContent = box.app || box.namespace || box.cluster;
    return make("g", { class: "group" }, make("rect", { x, y, width: right - x, height: below - y, rx: 10 }), text);
  }

  function draw() {
    const all = state.graph.elements.nodes.map((wrapped) => wrapped.data);
    const nodes = all.filter((node) => node.nodeType !== "box");
    const edges = state.graph.elements.edges.map((wrapped) => wrapped.data);
    const byId = new Map(nodes.map((node) => [node.id, node]));
    const places = layout(nodes, edges);
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : "";
    const canvas = $("canvas");
    canvas.replaceChildren();
    for (const box of all) {
      const drawn = box.nodeType === "box" ? drawBox(box, nodes, places) : null;
      if (drawn) canvas.append(drawn);
    }
    const between = new Map();
    const labels = [];
    for (const edge of edges) {
      const pair = [edge.source, edge.target].sort().join(" ");
      const shift = 24 * (between.get(pair) || 0);
      between.set(pair, (between.get(pair) || 0) + 1);
      const drawn = drawEdge(edge, byId, places, shift);
      canvas.append(drawn.line);
      labels.push(drawn.label);
    }
    canvas.append(...labels);
    for (const node of nodes) canvas.append(drawNode(node, edges, places.get(node.id)));
    empty(!nodes.length);
    if (!state.view) fit(places);
    mark();
    describe();
    if (focused) [...canvas.children].find((child) => child.dataset.id === focused)?.focus();
  }

  function empty(isEmpty) {
    const place = $("empty");
    place.hidden = !isEmpty;
    if (!isEmpty) return;
    state.view = null;
    const [title, text, command] = place.children;
    const period = $("duration").selectedOptions[0].textContent;
    if (!state.namespaces.size) {
      title.textContent = "No namespace is chosen";
      text.textContent = "Choose one above.";
      command.hidden = true;
      return;
    }
    title.textContent = `No traffic in the last ${period}`;
    text.textContent = "Send some requests between pods with a sidecar, and they appear here within seconds. Traffic between pods without sidecars is not seen by anyone.";
    const namespace = [...state.namespaces].find((name) => !state.control.has(name));
    command.hidden = !namespace;
    command.textContent = `kubectl -n ${namespace} exec deploy/curl -- curl -s http://httpbin:8000/get`;
  }

  // View: fit, drag, wheel

  function show() {
    const { x, y, width, height } = state.view;
    $("graph").setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  }

  function fit(places) {
    if (!places.size) return;
    const values = [...places.values()];
    const [left, top] = [Math.min(...values.map((p) => p.x)) - 60, Math.min(...values.map((p) => p.y)) - 80];
    const width = Math.max(...values.map((p) => p.x)) + NODE.width + 60 - left;
    const height = Math.max(...values.map((p) => p.y)) + NODE.height + 80 - top;
    const box = $("graph").getBoundingClientRect();
    // Never larger than life: two nodes should not fill a screen.
    const scale = Math.max(width / box.width, height / box.height, 0.8);
    const seen = { width: box.width * scale, height: box.height * scale };
    state.view = { x: left - (seen.width - width) / 2, y: top - (seen.height - height) / 2, ...seen };
    state.fitted = values.length;
    show();
  }

  function handle() {
    const graph = $("graph");
    let start = null;
    graph.addEventListener("pointerdown", (event) => {
      state.moved = false;
      if (state.view) start = { x: event.clientX, y: event.clientY, view: { ...state.view } };
    });
    graph.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      if (!state.moved && Math.abs(dx) + Math.abs(dy) < 4) return;
      state.moved = true;
      graph.classList.add("dragged");
      const scale = start.view.width / graph.getBoundingClientRect().width;
      state.view = { ...start.view, x: start.view.x - dx * scale, y: start.view.y - dy * scale };
      show();
    });
    addEventListener("pointerup", () => { start = null; graph.classList.remove("dragged"); });
    graph.addEventListener("wheel", (event) => {
      if (!state.view) return;
      event.preventDefault();
      const box = graph.getBoundingClientRect();
      const factor = Math.exp(Math.sign(event.deltaY) * 0.12);
      const [px, py] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const view = state.view;
      const [width, height] = [view.width * factor, view.height * factor];
      state.view = { x: view.x + (view.width - width) * px, y: view.y + (view.height - height) * py, width, height };
      show();
    }, { passive: false });
    graph.addEventListener("dblclick", () => { state.view = null; if (state.graph) draw(); });
    graph.addEventListener("click", (event) => {
      if (event.target === graph && !state.moved) { state.chosen = null; mark(); describe(); }
    });
    addEventListener("resize", () => { state.view = null; if (state.graph) draw(); });
  }

  function mark() {
    for (const child of $("canvas").children) child.classList.toggle("chosen", Boolean(state.chosen) && child.dataset.id === state.chosen.id);
  }

  // The panel

  function table(rows) {
    const body = html("tbody");
    for (const [key, value, bad] of rows) {
      if (value === "" || value === undefined || value === null) continue;
      const row = html("tr", "", bad ? "bad" : "");
      const head = html("th", key);
      head.scope = "row";
      row.append(head, html("td", String(value)));
      body.append(row);
    }
    const result = html("table");
    result.append(body);
    return result;
  }

  function section(title, rows) {
    return rows.some((row) => row[1]) ? [html("h3", title), table(rows)] : [];
  }

  function describe() {
    const panel = $("panel");
    const nodes = new Map(state.graph.elements.nodes.map((wrapped) => [wrapped.data.id, wrapped.data]));
    const edges = state.graph.elements.edges.map((wrapped) => wrapped.data);
    const { kind, id } = state.chosen || {};
    const edge = kind === "edge" && edges.find((one) => one.id === id);
    const node = kind === "node" && nodes.get(id);
    if (edge) panel.replaceChildren(...edgeFacts(edge, nodes));
    else if (node) panel.replaceChildren(...nodeFacts(node, nodes, edges));
    else panel.replaceChildren(...summary(nodes, edges));
  }

  function summary(nodes, edges) {
    const shown = [...nodes.values()].filter((node) => node.nodeType !== "box");
    const total = (protocol) => edges.filter((edge) => protocolOf(edge) === protocol).reduce((sum, edge) => sum + rateOf(edge), 0);
    const bad = edges.filter((edge) => errorsOf(edge) > 0).sort((one, other) => errorsOf(other) - errorsOf(one));
    const name = (edge) => `${nameOf(nodes.get(edge.source))} \u2192 ${nameOf(nodes.get(edge.target))}`;
    // What ends at a service reached no pod, so there was no connection to secure.
    const reached = (edge) => $("services").checked || nodes.get(edge.target).nodeType !== "service";
    const open = edges.filter((edge) => rateOf(edge) > 0 && !edge.isMTLS && reached(edge));
    return [
      html("h2", [...state.namespaces].join(", ") || "no namespace"),
      html("p", `the last ${$("duration").selectedOptions[0].textContent}`, "kind"),
      table([
        ["Nodes", shown.length], ["Edges", edges.length],
        ["HTTP", total("http") ? amount(total("http"), "http") : ""],
        ["gRPC", total("grpc") ? amount(total("grpc"), "grpc") : ""],
        ["TCP", total("tcp") ? amount(total("tcp"), "tcp") : ""],
      ]),
      ...section("Errors", bad.map((edge) => [name(edge), errorsOf(edge).toFixed(1) + " %", true])),
      ...section("Not mutual TLS", open.map((edge) => [name(edge), amount(rateOf(edge), protocolOf(edge))])),
    ];
  }

  function edgeFacts(edge, nodes) {
    const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
    const protocol = protocolOf(edge);
    const rates = edge.traffic.rates || {};
    const responses = Object.entries(edge.traffic.responses || {});
    const flags = responses.flatMap(([code, detail]) => Object.entries(detail.flags || {}).map(([flag, share]) =>
      [`${code}${flag === "-" ? "" : " " + flag}`, share + " %", /^[45]\d\d$/.test(code)]));
    const hosts = new Map();
    for (const [, detail] of responses) {
      for (const [host, share] of Object.entries(detail.hosts || {})) hosts.set(host, (hosts.get(host) || 0) + number(share));
    }
    return [
      html("h2", `${nameOf(source)} \u2192 ${nameOf(target)}`),
      html("p", `${protocol.toUpperCase()}, ${whereOf(source)} to ${whereOf(target)}`, "kind"),
      table([
        ["Rate", amount(rateOf(edge), protocol)],
        ["Failed", rates[protocol + "PercentErr"] ? rates[protocol + "PercentErr"] + " %" : "", true],
        ["Share of the caller's", rates[protocol + "PercentReq"] ? rates[protocol + "PercentReq"] + " %" : ""],
        ["Response time, 95 %", edge.responseTime ? edge.responseTime + " ms" : ""],
        ["Throughput", edge.throughput ? amount(number(edge.throughput), "tcp") : ""],
        ["Mutual TLS", edge.isMTLS ? edge.isMTLS + " %" : "no"],
      ]),
      ...section("Answers", flags),
      ...section("Hosts", [...hosts].map(([host, share]) => [host, share.toFixed(1) + " %"])),
      ...section("Identities", [["Caller", edge.sourcePrincipal], ["Server", edge.destPrincipal]]),
    ];
  }

  function nodeFacts(node, nodes, edges) {
    const facts = [["Namespace", node.namespace], ["Workload", node.workload], ["App", node.app], ["Version", node.version],
      ["Reached as", (node.destServices || []).map((service) => service.name).join(", ")],
      ["Sidecar", node.isOutOfMesh ? "none" : ""]];
    const beside = (near, far) => edges.filter((edge) => edge[near] === node.id)
      .map((edge) => [nameOf(nodes.get(edge[far])), amount(rateOf(edge), protocolOf(edge)) + (errorsOf(edge) ? `, ${errorsOf(edge)} % err` : ""), errorsOf(edge) > 0]);
    return [html("h2", nameOf(node)), html("p", node.nodeType === "unknown" ? "callers without a sidecar" : node.nodeType, "kind"),
      table(facts), ...section("Called by", beside("target", "source")), ...section("Calls", beside("source", "target"))];
  }

  // Asking

  function report(text, bad = false) {
    $("state").textContent = text;
    $("state").className = bad ? "bad" : "";
  }

  async function refresh() {
    clearTimeout(state.timer);
    const asked = (state.asked += 1);
    try {
      if (state.namespaces.size) {
        const query = new URLSearchParams({ namespaces: [...state.namespaces].join(","), duration: $("duration").value, graphType: $("graph-type").value,
          injectServiceNodes: $("services").checked, includeIdleEdges: $("idle").checked });
        const graph = await api("namespaces/graph?" + query);
        if (asked !== state.asked) return;
        if (state.graph && state.graph.elements.nodes.length !== graph.elements.nodes.length) state.view = null;
        state.graph = graph;
      } else {
        state.graph = { elements: { nodes: [], edges: [] } };
      }
      draw();
      report(new Date().toLocaleTimeString());
    } catch (error) {
      report(`no answer: ${error.message}`, true);
    }
    const seconds = Number($("refresh").value);
    if (seconds && asked === state.asked) state.timer = setTimeout(refresh, seconds * 1000);
  }

  function remember() {
    $("namespace-names").textContent = [...state.namespaces].join(", ") || "none";
    const query = new URLSearchParams({ namespaces: [...state.namespaces].join(","), duration: $("duration").value, graphType: $("graph-type").value });
    history.replaceState(null, "", "?" + query);
    state.view = null;
    refresh();
  }

  function pick(id, value) {
    if ([...$(id).options].some((option) => option.value === value)) $(id).value = value;
  }

  async function begin() {
    handle();
    const asked = new URLSearchParams(location.search);
    pick("graph-type", asked.get("graphType"));
    pick("duration", /^\d+$/.test(asked.get("duration") || "") ? asked.get("duration") + "s" : asked.get("duration"));
    const [namespaces, status] = await Promise.all([api("namespaces"), api("status")]);
    $("version").textContent = status.status["Kiali version"];
    const wanted = (asked.get("namespaces") || "").split(",").filter(Boolean);
    const meshed = namespaces.filter((one) => one.labels["istio-injection"] === "enabled" || one.labels["istio.io/rev"]).map((one) => one.name);
    const chosen = wanted.length ? wanted : meshed.length ? meshed : ["default"];
    for (const { name, isControlPlane } of namespaces) {
      if (isControlPlane) state.control.add(name);
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = chosen.includes(name);
      if (box.checked) state.namespaces.add(name);
      box.addEventListener("change", () => {
        if (box.checked) state.namespaces.add(name); else state.namespaces.delete(name);
        remember();
      });
      const label = html("label");
      label.append(box, name);
      $("namespace-list").append(label);
    }
    for (const id of ["graph-type", "duration", "services", "idle"]) $(id).addEventListener("change", remember);
    for (const [id, event] of [["refresh", "change"], ["now", "click"]]) $(id).addEventListener(event, refresh);
    addEventListener("click", (event) => { if (!$("namespaces").contains(event.target)) $("namespaces").open = false; });
    remember();
  }

  begin().catch((error) => report(`no answer: ${error.message}`, true));
})();
