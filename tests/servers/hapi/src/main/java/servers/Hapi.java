package servers;

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.interceptor.api.IInterceptorService;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.interceptor.validation.IRepositoryValidatingRule;
import ca.uhn.fhir.jpa.interceptor.validation.RepositoryValidatingInterceptor;
import ca.uhn.fhir.jpa.interceptor.validation.RepositoryValidatingRuleBuilder;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * HAPI's JPA server over an H2 database in memory, for tests: on 127.0.0.1 only, gone when it ends.
 *
 * <p>Arguments: a lane (defaults, all-on, profiled, r5) and a port (0: a free one). When it serves it prints {@code READY <base>}.
 */
public final class Hapi {
  private static final int PAGE = 20;
  private static final int LARGEST_PAGE = 200;
  private static final String ENROLMENT =
      "https://fhir-adapter.example/fhir/StructureDefinition/enrolment-of-tests";

  private Hapi() {}

  public static void main(String[] arguments) throws Exception {
    Lane lane = Lane.of(arguments[0]);
    int port = Integer.parseInt(arguments[1]);
    long began = System.nanoTime();
    AnnotationConfigApplicationContext store = open(lane);
    if (lane.exports()) {
      lookAfterJobs(store.getBean(IJobMaintenanceService.class));
    }
    if (lane.demandsProfile()) {
      demandEnrolments(store);
    }
    ServerConnector door = listen(restful(store, lane), port);
    long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    System.out.println("STARTED in " + took + " ms");
    System.out.println("READY http://127.0.0.1:" + door.getLocalPort() + "/fhir");
    door.getServer().join();
  }

  /** As a server of the German MII: who is not enrolled has no consent and no period to declare. */
  private static void demandEnrolments(AnnotationConfigApplicationContext store) {
    List<IRepositoryValidatingRule> rules =
        store
            .getBean(RepositoryValidatingRuleBuilder.class)
            .forResourcesOfType("ResearchSubject")
            .requireAtLeastProfile(ENROLMENT)
            .and()
            .requireValidationToDeclaredProfiles()
            .withBestPracticeWarningLevel("IGNORE")
            .build();
    store
        .getBean(IInterceptorService.class)
        .registerInterceptor(
            new RepositoryValidatingInterceptor(store.getBean(FhirContext.class), rules));
  }

  /** HAPI goes on with its jobs once a minute; an export is four steps, and a test would wait for four minutes. */
  private static void lookAfterJobs(IJobMaintenanceService jobs) {
    ScheduledExecutorService clock =
        Executors.newSingleThreadScheduledExecutor(
            work -> {
              Thread thread = new Thread(work, "jobs");
              thread.setDaemon(true);
              return thread;
            });
    clock.scheduleWithFixedDelay(jobs::runMaintenancePass, 1, 1, TimeUnit.SECONDS);
  }

  private static AnnotationConfigApplicationContext open(Lane lane) {
    AnnotationConfigApplicationContext store = new AnnotationConfigApplicationContext();
    store.registerBean(Lane.class, () -> lane);
    store.register(lane.version(), Store.class);
    if (lane.reasons()) {
      store.register(ClinicalReasoning.class);
    }
    store.refresh();
    return store;
  }

  private static RestfulServer restful(AnnotationConfigApplicationContext store, Lane lane) {
    RestfulServer server = store.getBean(RestfulServer.class);
    server.setInterceptorService(store.getBean(IInterceptorService.class));
    server.setDefaultResponseEncoding(EncodingEnum.JSON);
    server.setPagingProvider(paging(store));
    server.registerProviders(store.getBean(ResourceProviderFactory.class).createProviders());
    server.registerProvider(store.getBean(JpaSystemProvider.class));
    server.setServerConformanceProvider(conformance(store, server));
    if (lane.exports()) {
      server.registerProvider(store.getBean(BulkDataExportProvider.class));
    }
    return server;
  }

  private static DatabaseBackedPagingProvider paging(AnnotationConfigApplicationContext store) {
    DatabaseBackedPagingProvider paging = store.getBean(DatabaseBackedPagingProvider.class);
    paging.setDefaultPageSize(PAGE);
    paging.setMaximumPageSize(LARGEST_PAGE);
    return paging;
  }

  private static JpaCapabilityStatementProvider conformance(
      AnnotationConfigApplicationContext store, RestfulServer server) {
    return new JpaCapabilityStatementProvider(
        server,
        store.getBean(IFhirSystemDao.class),
        store.getBean(JpaStorageSettings.class),
        store.getBean(ISearchParamRegistry.class),
        store.getBean(IValidationSupport.class));
  }

  private static ServerConnector listen(RestfulServer restful, int port) throws Exception {
    Server web = new Server();
    ServerConnector door = new ServerConnector(web);
    door.setHost("127.0.0.1");
    door.setPort(port);
    web.addConnector(door);
    ServletContextHandler paths = new ServletContextHandler();
    paths.addServlet(new ServletHolder(restful), "/fhir/*");
    web.setHandler(paths);
    web.start();
    return door;
  }
}
