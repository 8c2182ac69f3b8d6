"""Codes of the synthetic charts, by the names that their writers use.

Every code stands in mappings/terminology with its source; displays are for people.
"""

from __future__ import annotations

from fhir_adapter.model.code import ATC, ICD10_CM, ICD10_GM, LOINC, SNOMED
from fhir_adapter.model.vocabulary import LOCAL_FINDINGS
from fhir_adapter.ports import Resource

Coding = tuple[str, str, str]
"""System, code, display."""

SITE_FINDINGS = "urn:demo:findings"
"""The teaching hospital's own codes; mappings/sites/demo.toml maps them."""

LABS: dict[str, tuple[Coding, str]] = {
    "bilirubin": ((LOINC, "14631-6", "Bilirubin.total [Moles/volume]"), "umol/L"),
    "bilirubin-mass": ((LOINC, "1975-2", "Bilirubin.total [Mass/volume]"), "mg/dL"),
    "inr": ((LOINC, "6301-6", "INR in Platelet poor plasma"), "{INR}"),
    "activity": ((LOINC, "5894-1", "Prothrombin time actual/normal"), "%"),
    "platelets": ((LOINC, "777-3", "Platelets in Blood by Automated count"), "10*9/L"),
    "albumin": ((LOINC, "1751-7", "Albumin [Mass/volume]"), "g/L"),
    "creatinine": ((LOINC, "14682-9", "Creatinine [Moles/volume]"), "umol/L"),
    "creatinine-mass": ((LOINC, "2160-0", "Creatinine [Mass/volume]"), "mg/dL"),
    "alt": ((LOINC, "1742-6", "Alanine aminotransferase"), "U/L"),
    "ast": ((LOINC, "1920-8", "Aspartate aminotransferase"), "U/L"),
    "afp": ((LOINC, "1834-1", "Alpha-1-Fetoprotein"), "ng/mL"),
    "crp": ((LOINC, "1988-5", "C reactive protein"), "mg/L"),
    "west-haven": ((SITE_FINDINGS, "WH", "West Haven grade"), "1"),
    "platelet-clumps": ((LOCAL_FINDINGS, "platelet-clumps", "Platelet clumps"), "1"),
    "child-pugh": ((SITE_FINDINGS, "CPS", "Child-Pugh score"), "1"),
}
ULN = {"alt": "50", "ast": "40"}

PROBLEMS: dict[str, tuple[Coding, ...]] = {
    "hepatitis-b": (
        (SNOMED, "66071002", "Type B viral hepatitis"),
        (ICD10_CM, "B18.1", "Chronic viral hepatitis B"),
    ),
    "cirrhosis": (
        (SNOMED, "19943007", "Cirrhosis of liver"),
        (ICD10_CM, "K74.60", "Unspecified cirrhosis of liver"),
    ),
    "alcoholic-cirrhosis": (
        (SNOMED, "420054005", "Alcoholic cirrhosis"),
        (ICD10_CM, "K70.30", "Alcoholic cirrhosis of liver without ascites"),
    ),
    "alcoholic-cirrhosis-with-ascites": (
        (ICD10_CM, "K70.31", "Alcoholic cirrhosis of liver with ascites"),
    ),
    "alcoholic-hepatitis": (
        (SNOMED, "235875008", "Alcoholic hepatitis"),
        (ICD10_CM, "K70.10", "Alcoholic hepatitis without ascites"),
    ),
    "liver-failure": (
        (SNOMED, "59927004", "Hepatic failure"),
        (ICD10_CM, "K72.00", "Acute and subacute hepatic failure without coma"),
    ),
    "ascites": ((SNOMED, "389026000", "Ascites"), (ICD10_CM, "R18.8", "Other ascites")),
    "encephalopathy": (
        (SNOMED, "13920009", "Hepatic encephalopathy"),
        (ICD10_CM, "K76.82", "Hepatic encephalopathy"),
    ),
    "encephalopathy-grade-1": ((ICD10_GM, "K72.71!", "Hepatic encephalopathy, grade 1"),),
    "encephalopathy-grade-3": ((ICD10_GM, "K72.73!", "Hepatic encephalopathy, grade 3"),),
    "portal-hypertension": (
        (SNOMED, "34742003", "Portal hypertension"),
        (ICD10_CM, "K76.6", "Portal hypertension"),
    ),
    "bleeding-varices": (
        (SNOMED, "17709002", "Bleeding esophageal varices"),
        (ICD10_CM, "I85.11", "Secondary esophageal varices with bleeding"),
    ),
    "melena": ((SNOMED, "2901004", "Melena"), (ICD10_CM, "K92.1", "Melena")),
    "hepatocellular-carcinoma": (
        (SNOMED, "25370001", "Hepatocellular carcinoma"),
        (ICD10_CM, "C22.0", "Liver cell carcinoma"),
    ),
    "breast-cancer": ((ICD10_CM, "C50.9", "Malignant neoplasm of breast"),),
    "skin-cancer": ((ICD10_CM, "C44.9", "Other malignant neoplasm of skin"),),
    "polycythaemia-vera": ((ICD10_CM, "D45", "Polycythemia vera"),),
    "gallbladder-stone": ((ICD10_CM, "K80.20", "Calculus of gallbladder without cholecystitis"),),
    "bile-duct-stone": ((ICD10_CM, "K80.50", "Calculus of bile duct without cholangitis"),),
    "sepsis": ((SNOMED, "91302008", "Sepsis"), (ICD10_CM, "A41.9", "Sepsis, unspecified")),
    "covid": ((ICD10_CM, "U07.1", "COVID-19"),),
    "chronic-dialysis": ((ICD10_CM, "Z99.2", "Dependence on renal dialysis"),),
    "heart-failure": ((ICD10_CM, "I50.9", "Heart failure, unspecified"),),
    "pulmonary-embolism": (
        (SNOMED, "59282003", "Pulmonary embolism"),
        (ICD10_CM, "I26.99", "Other pulmonary embolism"),
    ),
    "transplanted-liver": ((ICD10_CM, "Z94.4", "Liver transplant status"),),
    "opioid-abuse": (
        (SNOMED, "5602001", "Opioid abuse"),
        (ICD10_CM, "F11.10", "Opioid abuse, uncomplicated"),
    ),
    "alcohol-dependence": ((ICD10_CM, "F10.20", "Alcohol dependence, uncomplicated"),),
    "alcohol-withdrawal": (
        (SNOMED, "191480000", "Alcohol withdrawal"),
        (ICD10_CM, "F10.239", "Alcohol dependence with withdrawal"),
    ),
    "schizophrenia": (
        (SNOMED, "58214004", "Schizophrenia"),
        (ICD10_CM, "F20.9", "Schizophrenia, unspecified"),
    ),
    "hypertension": ((SNOMED, "38341003", "Hypertension"), (ICD10_CM, "I10", "Hypertension")),
    "gastritis": ((ICD10_CM, "K29.70", "Gastritis, unspecified"),),
    "pregnant": ((SNOMED, "77386006", "Pregnant"), (ICD10_CM, "Z33.1", "Pregnant state")),
}

DRUGS: dict[str, Coding] = {
    "entecavir": (ATC, "J05AF10", "entecavir"),
    "warfarin": (ATC, "B01AA03", "warfarin"),
    "tacrolimus": (ATC, "L04AD02", "tacrolimus"),
    "filgrastim": (ATC, "L03AA02", "filgrastim"),
    "prednisolone": (ATC, "H02AB06", "prednisolone"),
    "ceftriaxone": (ATC, "J01DD04", "ceftriaxone"),
    "furosemide": (ATC, "C03CA01", "furosemide"),
    "plasma": (LOCAL_FINDINGS, "plasma-transfusion", "Fresh frozen plasma"),
}

ACTS: dict[str, Coding] = {
    "ultrasound": (SNOMED, "45036003", "Ultrasonography of abdomen"),
    "paracentesis": (SNOMED, "89305009", "Abdominal paracentesis"),
    "cvvhdf": (SNOMED, "714749008", "Continuous renal replacement therapy"),
    "haemodialysis": (SNOMED, "302497006", "Haemodialysis"),
    "liver-transplantation": (SNOMED, "18027006", "Transplantation of liver"),
    "stem-cell-transplantation": (SNOMED, "234336002", "Hemopoietic stem cell transplant"),
    "platelet-transfusion": (SNOMED, "12719002", "Platelet transfusion"),
    "gastroscopy": (SNOMED, "76009000", "Esophagogastroduodenoscopy"),
}


def concept(*codings: Coding) -> Resource:
    """A CodeableConcept with the given codings, in order."""
    return {"coding": [{"system": s, "code": c, "display": d} for s, c, d in codings]}
