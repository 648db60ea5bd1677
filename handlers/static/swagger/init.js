// The only script of ours on the page. It lies in a file because the page's policy allows no inline script.
"use strict";
SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  // The default sends the document to a validator of swagger.io.
  validatorUrl: null,
});
