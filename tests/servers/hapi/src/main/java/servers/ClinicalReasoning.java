package servers;

import org.opencds.cqf.fhir.cql.EvaluationSettings;
import org.opencds.cqf.fhir.cr.hapi.config.RepositoryConfig;
import org.opencds.cqf.fhir.cr.hapi.config.r4.ApplyOperationConfig;
import org.opencds.cqf.fhir.cr.hapi.config.r4.EvaluateOperationConfig;
import org.opencds.cqf.fhir.utility.client.TerminologyServerClientSettings;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;

/**
 * Library/$evaluate and PlanDefinition/$apply over the store, with the engine's default settings.
 *
 * <p>The operations put themselves on the server once the context is ready.
 */
@Configuration
@Import({RepositoryConfig.class, EvaluateOperationConfig.class, ApplyOperationConfig.class})
class ClinicalReasoning {

  @Bean
  EvaluationSettings evaluationSettings() {
    return EvaluationSettings.getDefault();
  }

  @Bean
  TerminologyServerClientSettings terminologyServerClientSettings() {
    return TerminologyServerClientSettings.getDefault();
  }
}
