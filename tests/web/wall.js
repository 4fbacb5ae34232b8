// Evaluated in the page by test_wall_browser.py: calls the functions that decide what is drawn where.
async () => {
  const { cut, layoutOf, linesOf, routeOf } = await import("/dashboard/assets/topology_layout.js");
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
  return {
    overlaps,
    hubs: [linesOf(4, mesh(4)), linesOf(6, mesh(6)), linesOf(6, odd), linesOf(6, mesh(6).slice(1)), linesOf(0, [])].map(({ hub, lines }) => [hub, lines.length]),
    route: routeOf({ shards: [shard("b", 8), shard(null, 4), shard("a", 0)] }),
    unordered: routeOf({ shards: [shard("b", null), shard("a", null), shard("b", null)] }),
    cut: [cut("spark", 8), cut("Mac Studio 2", 10)],
  };
}
