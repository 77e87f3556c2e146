// The page keeps the tokens in the browser, and sends them with what is tried out.
window.ui = SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.document,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  // Browsers send no body with GET: a list is tried out without its filter.
  requestInterceptor: (request) => {
    if (/^(get|head)$/i.test(request.method || "get")) {
      delete request.body;
    }
    return request;
  },
});

// The other dialect is not served everywhere.
const other = document.getElementById("factory");
if (other) {
  fetch("../openapi-factory.json", {method: "HEAD"}).then((answer) => {
    other.hidden = !answer.ok;
  });
}
