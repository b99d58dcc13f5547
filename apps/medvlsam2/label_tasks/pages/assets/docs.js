// The API's page, drawn by Swagger UI from the server's own description.
"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  validatorUrl: null, // the badge would ask a foreign address
  defaultModelsExpandDepth: -1,
});
