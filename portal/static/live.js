// What the pages need beyond htmx, which swaps the live part: say when figures may be old, keep opened details
// open across a swap, and ask for nothing while nobody looks.
(function () {
  "use strict";
  var opened = [];

  function lost(yes) {
    var notice = document.getElementById("lost");
    if (notice) { notice.hidden = !yes; }
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden) { event.preventDefault(); }
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    lost(!event.detail.successful);
  });
  document.addEventListener("htmx:beforeSwap", function () {
    opened = Array.prototype.map.call(document.querySelectorAll("#live details[open][id]"), function (one) {
      return one.id;
    });
  });
  document.addEventListener("htmx:afterSwap", function () {
    opened.forEach(function (id) {
      var one = document.getElementById(id);
      if (one) { one.open = true; }
    });
  });
}());
