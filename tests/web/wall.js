// Evaluated in the page by test_wall_browser.py: calls the functions that decide what is drawn where.
async () => {
  const { cut, layoutOf, linesOf, routeOf } = await import("/dashboard/assets/topology_layout.js");
  const { append, emptyHour } = await import("/dashboard/assets/history.js");
  const { kept, sorted } = await import("/dashboard/assets/node_table.js");
  const { extent, pathOf } = await import("/dashboard/assets/sparkline.js");
  const { wrongsOf } = await import("/dashboard/assets/banner.js");
  const loss = { id: "event-1", message: "Model m was lost: gone.", modelId: "m" };
  const reasons = ["Model m is UNREACHABLE: gone.", "Model m is FAILED: broken.", "Model m was lost: gone. Since 06:00 UTC.", "http://a: no."];
  const sick = { losses: [loss], exoErrors: [{ url: "http://a", message: "no." }], unhealthyReasons: reasons };
  const { refetcher } = await import("/dashboard/assets/refetch.js");
  const loads = [];
  const asked = async (name) => { loads.push(name); if (name === "fails") throw new Error(name); };
  let current = "one";
  const refetch = refetcher(() => asked(current), 1);
  const say = (name) => { current = name; refetch(name); };
  const pause = () => new Promise((resolve) => { setTimeout(resolve, 30); });
  for (const name of ["one", "two", "three"]) say(name);
  await pause();
  say("three");
  await pause();
  say("fails");
  await pause();
  say("fails");
  await pause();
  const overlaps = [];
  for (let count = 1; count <= 32; count += 1) for (const width of [300, 330, 420, 560, 900]) {
    const { box, dot, dense, places, height } = layoutOf(count, width, 14);
    const [wide, high] = dense ? [2 * dot, 2 * dot] : [box.width, box.height];
    places.forEach((one, number) => {
      const inside = one.x >= wide / 2 && one.x <= width - wide / 2 && one.y >= high / 2 && one.y <= height - high / 2;
      const met = places.slice(number + 1).some((other) => dense
        ? Math.hypot(one.x - other.x, one.y - other.y) < wide
        : Math.abs(one.x - other.x) < wide && Math.abs(one.y - other.y) < high);
      if (!inside || met || !Number.isFinite(one.x + one.y)) overlaps.push([count, width, number]);
    });
  }
  const link = (one, other, medium, status = "UP") => ({ nodes: [{ id: one }, { id: other }], medium, status });
  const mesh = (count) => Array.from({ length: count }, (_, one) => Array.from({ length: one }, (_, other) => link(one, other, "ETHERNET"))).flat();
  const odd = mesh(6).map((each, number) => number === 0 ? { ...each, medium: "RDMA" } : number === 1 ? { ...each, medium: null, status: "LOST" } : each);
  const shard = (id, startLayer) => ({ node: id === null ? null : { id }, startLayer });
  // Four intervals of ten seconds from 0 on; the node reports no power.
  const hour = emptyHour(0, 10, 4);
  const report = (now, ramUsedGb) => {
    append(hour, now, [{ id: "a", ramUsedGb, gpuUsagePercent: 1, temperatureC: 1, powerWatts: null }]);
    return [...hour.nodes.get("a").ramUsedGb];
  };
  const table = ["n10", "n9", "n2"].map((friendlyName, number) => ({ friendlyName, status: "ONLINE", models: [], ramUsedGb: [5, null, 7][number] }));
  const names = (key, down) => sorted(table, key, down).map(({ friendlyName }) => friendlyName);
  return {
    hours: [report(31, 2), report(35, 4), report(42, 8), report(67, 6), report(500, 1)],
    power: hour.nodes.get("a").powerWatts,
    tables: [names("name", false), names("ramUsedGb", true), names("ramUsedGb", false)],
    kept: kept([{ id: "a" }, { id: "new" }, { id: "b" }], ["b", "gone", "a"]).map(({ id }) => id),
    wrongs: [wrongsOf(null, sick), wrongsOf({ reasons: ["Disconnected."] }, sick), wrongsOf({ reasons: [], exoErrors: [1] }, null)],
    paths: [[0, 5, 10], [null, 4, null], [null, null], [99, -99]].map((values) => pathOf(values, { low: 0, high: 10, width: 20, height: 10 })),
    flat: pathOf([3, 3], { low: 3, high: 3, width: 20, height: 10 }),
    extents: [extent([null, 3, 1]), extent([null])],
    loads,
    overlaps,
    hubs: [linesOf(4, mesh(4)), linesOf(6, mesh(6)), linesOf(6, odd), linesOf(6, mesh(6).slice(1)), linesOf(0, [])].map(({ hub, lines }) => [hub, lines.length]),
    route: routeOf({ shards: [shard("b", 8), shard(null, 4), shard("a", 0)] }),
    unordered: routeOf({ shards: [shard("b", null), shard("a", null), shard("b", null)] }),
    cut: [cut("spark", 8), cut("Mac Studio 2", 10)],
  };
}
