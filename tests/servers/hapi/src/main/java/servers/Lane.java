package servers;

import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings.ClientIdStrategyEnum;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.r5.JpaR5Config;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import java.util.Arrays;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;

/** How the store behaves: as HAPI's starter does unless told otherwise, with all that we can turn on, with a profile, or in R5. */
enum Lane {
  DEFAULTS("defaults"),
  ALL_ON("all-on"),
  PROFILED("profiled"),
  R5("r5");

  private static final long SEARCH_REUSED_MS = 60_000;
  private static final long SEARCH_KEPT_MS = 60 * 60_000L;
  private static final int EXPORT_KEPT_HOURS = 2;

  private final String word;

  Lane(String word) {
    this.word = word;
  }

  static Lane of(String word) {
    return Arrays.stream(values())
        .filter(lane -> lane.word.equals(word))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("a lane is defaults, all-on, profiled or r5, not " + word));
  }

  boolean exports() {
    return this == ALL_ON;
  }

  boolean reasons() {
    return this == ALL_ON;
  }

  /** The version of FHIR that it speaks; the store behaves as by default in both. */
  Class<?> version() {
    return this == R5 ? JpaR5Config.class : JpaR4Config.class;
  }

  /** Whether a ResearchSubject is stored only where it declares the profile of an enrolment and satisfies it. */
  boolean demandsProfile() {
    return this == PROFILED;
  }

  /** All lanes say every setting that matters to a client, so that no change of a default goes unnoticed. */
  JpaStorageSettings storage() {
    boolean open = this == ALL_ON;
    JpaStorageSettings settings = new JpaStorageSettings();
    settings.setAllowExternalReferences(open);
    settings.setEnforceReferentialIntegrityOnWrite(!open);
    settings.setEnforceReferentialIntegrityOnDelete(!open);
    settings.setResourceClientIdStrategy(
        open ? ClientIdStrategyEnum.ANY : ClientIdStrategyEnum.ALPHANUMERIC);
    settings.setReuseCachedSearchResultsForMillis(SEARCH_REUSED_MS);
    settings.setExpireSearchResultsAfterMillis(SEARCH_KEPT_MS);
    settings.setEnableTaskBulkExportJobExecution(open);
    settings.setBulkExportFileRetentionPeriodHours(EXPORT_KEPT_HOURS);
    settings.setHibernateSearchIndexFullText(false);
    settings.setHibernateSearchIndexSearchParams(false);
    return settings;
  }

  SubscriptionSettings subscriptions() {
    SubscriptionSettings settings = new SubscriptionSettings();
    if (this == ALL_ON) {
      settings.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
    }
    return settings;
  }
}
